"""A database that already has Supabase's roles, schema and default privileges, migrated by an administrator who is no
superuser: what is there is used, not redefined, and nothing of ours is open to its API roles by accident."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from schema import lints
from schema.isolation import verify
from schema.tenancy import user_transaction
from tests.database import Database
from tests.schema.test_migrations import binaries
from workers.embedded.postgres import Postgres

STAND_IN = Path(__file__).with_name("supabase.sql").read_text()

INSIDE = """
CREATE SCHEMA auth;
CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE AS
    $$ SELECT nullif(current_setting('request.jwt.claims', true), '')::jsonb $$;
GRANT USAGE ON SCHEMA auth TO anon, authenticated, service_role;
GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES FOR ROLE supabase_postgres IN SCHEMA public
    GRANT ALL ON TABLES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES FOR ROLE supabase_postgres IN SCHEMA public
    GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
"""


@pytest.fixture(scope="module", params=[15, 17, 18])
def supabase(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    folder = tmp_path_factory.mktemp(f"supabase{request.param}")
    with Postgres.temporary(folder, bin_dir=binaries(request.param)) as postgres:
        with psycopg.connect(postgres.url(database="postgres"), autocommit=True) as superuser:
            for statement in STAND_IN.split(";\n"):
                superuser.execute(statement)
        with psycopg.connect(postgres.url(database="supabase"), autocommit=True) as superuser:
            superuser.execute(INSIDE)
        yield Database.prepare_as(postgres, "supabase_postgres", "supabase-postgres", "supabase")


def test_the_roles_that_were_there_are_as_they_were(supabase: Database) -> None:
    assert supabase.one("SELECT rolbypassrls FROM pg_roles WHERE rolname = 'service_role'") is True
    assert supabase.one("SELECT count(*) FROM pg_proc WHERE proname = 'jwt'") == 1
    assert supabase.one("SELECT pg_has_role('authenticator', 'service_role', 'MEMBER')") is True


def test_a_user_sees_their_own_organisation_through_supabases_roles(supabase: Database) -> None:
    org, other = supabase.organisation("A"), supabase.organisation("B")
    supabase.enqueue(org)
    supabase.enqueue(other)
    engine = supabase.engine("authenticator")
    with user_transaction(engine, {"app_metadata": {"org_id": str(org)}}) as connection:
        assert connection.scalars(text("SELECT DISTINCT org_id FROM call_logs")).all() == [org]


def test_default_privileges_open_nothing_of_ours(supabase: Database) -> None:
    granted = supabase.all(
        "SELECT DISTINCT grantee, table_name FROM information_schema.role_table_grants "
        "WHERE table_schema IN ('public', 'app') AND grantee IN ('anon', 'PUBLIC')"
    )
    assert granted == []
    assert supabase.one("SELECT has_function_privilege('anon', 'auth_org_id()', 'EXECUTE')") is False
    assert (
        supabase.all(
            "SELECT proname FROM pg_proc WHERE pronamespace IN ('public'::regnamespace, 'app'::regnamespace) "
            "AND has_function_privilege('anon', oid, 'EXECUTE')"
        )
        == []
    )


def test_the_owner_cannot_log_in_and_every_table_is_forced(supabase: Database) -> None:
    assert supabase.one("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'recordings_owner'") is False
    assert (
        supabase.all(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' "
            "AND NOT (relrowsecurity AND relforcerowsecurity)"
        )
        == []
    )


def test_the_static_checks_find_nothing_wrong_beside_what_supabase_brings(supabase: Database) -> None:
    with supabase.connect() as administrator:
        assert lints.findings(administrator) == ()


def test_the_matrix_of_isolation_holds_here_too(supabase: Database) -> None:
    """Asked by an administrator who is no superuser and takes every role on for it."""
    with psycopg.connect(supabase.url()) as connection:
        report = verify(connection)
    assert [(one.cell, one.seen) for one in report.wrong] == []
    assert len(report.cells) > 5000
