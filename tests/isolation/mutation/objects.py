"""Functions that act as another, tables of another owner, and new things beside the old ones that show their rows."""

from collections.abc import Iterator

from schema.lints.catalog import Catalog, Function
from schema.roles import OWNER
from tests.isolation.mutation.mutant import Mutant

BESIDE = {
    "a view": (
        "CREATE VIEW public.calls AS SELECT * FROM public.call_logs",
        "GRANT SELECT ON public.calls TO authenticated",
    ),
    "a materialized view": (
        "CREATE MATERIALIZED VIEW public.calls AS SELECT * FROM public.call_logs",
        "GRANT SELECT ON public.calls TO authenticated",
    ),
    "a copy": ("CREATE TABLE public.calls AS SELECT * FROM public.call_logs", "GRANT SELECT ON public.calls TO anon"),
    "a function that shows calls": (
        "CREATE FUNCTION public.calls() RETURNS SETOF public.call_logs LANGUAGE sql SECURITY DEFINER "
        "SET search_path = pg_catalog, pg_temp AS 'SELECT * FROM public.call_logs'",
    ),
    "a partition that has no policies": (
        "CREATE TABLE app.notes (org_id uuid NOT NULL) PARTITION BY LIST (org_id)",
        "CREATE TABLE app.notes_rest PARTITION OF app.notes DEFAULT",
    ),
}


def mutants(catalog: Catalog) -> Iterator[Mutant]:
    for function in catalog.functions:
        roles = tuple(grant.role for grant in catalog.grants if grant.object == function.signature)
        yield from _function(function, roles)
    for table in catalog.tables:
        for owner in ("postgres", "recording_worker") if table.owner == OWNER else ():
            statement = f"ALTER TABLE {table.name} OWNER TO {owner}"
            yield Mutant("owner", f"{table.name}: belongs to {owner}", (statement,), (table.name,), (OWNER, owner))
    for what, statements in BESIDE.items():
        yield Mutant("beside", f"{what} beside the tables", statements, ("tables", "functions"))


def _function(function: Function, roles: tuple[str, ...]) -> Iterator[Mutant]:
    """``roles`` may call it. What its path says shows only to whoever makes types of their own (test_temporary.py)."""
    alter, name = f"ALTER FUNCTION {function.signature}", function.name
    for what in ("RESET search_path", "SET search_path = ''", "SET search_path = public, pg_temp"):
        yield Mutant("function", f"{name}: {what}", (f"{alter} {what}",), (name,))
    about = () if roles else (name,)
    turned = "INVOKER" if function.as_definer else "DEFINER"
    yield Mutant("function", f"{name}: SECURITY {turned}", (f"{alter} SECURITY {turned}",), about, roles)
    for owner in ("postgres", OWNER):
        if owner != function.owner:
            yield Mutant("function", f"{name}: belongs to {owner}", (f"{alter} OWNER TO {owner}",), about, roles)
