"""The short form of ``make mutants``: one of every kind, the same each time; and that a survivor would be seen."""

import random
from collections import defaultdict
from dataclasses import replace

import psycopg
import pytest

from schema.lints.read import read
from tests.database import Database
from tests.isolation.mutation import bodies, policies
from tests.isolation.mutation.mutant import Mutant
from tests.isolation.mutation.report import lines
from tests.isolation.mutation.verdict import NotClean, Verdict, enumerated, judge, untouched

SEED = 7


def test_one_mutant_of_every_kind_is_noticed(database: Database) -> None:
    with database.connect() as admin:
        kinds: dict[str, list[Mutant]] = defaultdict(list)
        for mutant in enumerated(admin):
            kinds[mutant.kind].append(mutant)
        sample = [random.Random(SEED).choice(mutants) for _, mutants in sorted(kinds.items())]
        assert len(sample) >= 12
        verdicts = [judge(admin, mutant) for mutant in sample]
        untouched(admin)
    assert [verdict.mutant.name for verdict in verdicts if not verdict.killed] == []


def test_names_of_mutants_are_unlike_one_another(shared: Database) -> None:
    with shared.connect() as admin:
        names = [f"{mutant.kind} {mutant.name}" for mutant in enumerated(admin)]
    assert len(names) > 1_000
    assert len(set(names)) == len(names)


def test_what_a_migration_adds_is_mutated_without_being_listed(shared: Database) -> None:
    with shared.connect() as admin, admin.transaction(force_rollback=True):
        admin.execute("CREATE TABLE app.notes (org_id uuid NOT NULL)")
        admin.execute("ALTER TABLE app.notes ENABLE ROW LEVEL SECURITY")
        admin.execute("CREATE POLICY own ON app.notes TO recording_worker USING (org_id = (SELECT app.task_org_id()))")
        made = {mutant.name for mutant in policies.mutants(read(admin)) if "app.notes" in mutant.tables}
        assert {"app.notes.own: dropped", "app.notes.own: USING (true)", "app.notes: row-level security off"} <= made
        admin.execute("CREATE FUNCTION app.act() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'SELECT'")
        with pytest.raises(bodies.OutOfDate, match=r"app\.act"):
            list(enumerated(admin))


def test_the_parts_of_a_condition_are_those_that_the_server_joined() -> None:
    assert policies.conjuncts("((a = 'x AND y'::text) AND (b IS NULL) AND (c = ( SELECT f() AS f)))") == [
        "(a = 'x AND y'::text)",
        "(b IS NULL)",
        "(c = ( SELECT f() AS f))",
    ]
    assert policies.conjuncts("(org_id = ( SELECT f() AS f))") == ["org_id = ( SELECT f() AS f)"]


def test_a_database_with_a_fault_is_not_mutated(shared: Database) -> None:
    with shared.connect() as admin, admin.transaction(force_rollback=True):
        admin.execute("ALTER TABLE public.leads NO FORCE ROW LEVEL SECURITY")
        with pytest.raises(NotClean, match="not forced"):
            untouched(admin)


def test_a_mutant_that_nothing_notices_is_a_survivor_and_named(shared: Database) -> None:
    harmless = Mutant("kind", "a comment", ("COMMENT ON TABLE public.leads IS 'x'",), ("public.leads",))
    with shared.connect() as admin:
        survived = judge(admin, harmless)
    killed = Verdict(replace(harmless, name="another"), "cell", ())
    assert not survived.killed
    assert list(lines([survived, killed], 1.0))[-2:] == [
        "2 mutants in 1 s: 1 noticed by the matrix, 0 by a static check alone, 1 survived. Score 50.0 %",
        "survived: kind: a comment",
    ]


def test_a_mutant_that_cannot_be_made_is_no_kill(shared: Database) -> None:
    with shared.connect() as admin, pytest.raises(psycopg.errors.UndefinedTable):
        judge(admin, Mutant("kind", "nonsense", ("DROP TABLE public.nonsense",)))
