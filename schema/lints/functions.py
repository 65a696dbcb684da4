"""Functions find what they name, act as whom they should, and belong to roles that cannot do more than they do."""

from collections import Counter
from collections.abc import Iterator

from schema.lints.catalog import Catalog, Function
from schema.lints.declared import DEFINER_FUNCTIONS, DEFINERS, EVERYBODY, RUNTIME
from schema.lints.finding import Finding
from schema.lints.grants import FUNCTIONS
from schema.roles import OWNER

#: The temporary schema last, by its name. Unnamed it comes first, for types and tables, whatever the path says: then
#: whoever may make a temporary type decides what a function's own casts do, and does it as the function's owner.
_PINNED = "search_path=pg_catalog, pg_temp"


def check(catalog: Catalog) -> Iterator[Finding]:
    """Functions of ``public`` and ``app``."""
    callable_ = {grant.object for grant in catalog.grants if grant.role in {*RUNTIME, EVERYBODY}}
    for function in catalog.functions:
        # Another application's is its own business, unless it shows whoever may call it what its owner sees.
        if _is_ours(function) or (function.as_definer and function.signature in callable_):
            yield from _function(function)
    names = Counter(function.name for function in catalog.functions)
    for name, count in sorted(names.items()):
        if count > 1 and name in FUNCTIONS:
            sentence = f"There are {count} functions {name}: which one is called depends on the arguments' types."
            yield Finding("function_overloaded", name, sentence, f"DROP FUNCTION {name}(…), the one that is not ours")


def _function(function: Function) -> Iterator[Finding]:
    if _PINNED not in function.settings:
        yield Finding(
            "search_path_open",
            function.signature,
            f"{function.signature} looks names up where its caller says.",
            f"ALTER FUNCTION {function.signature} SET search_path = pg_catalog, pg_temp",
        )
    wanted = DEFINER_FUNCTIONS.get(function.name)
    if function.as_definer and wanted is None:
        yield Finding(
            "definer_undeclared",
            function.signature,
            f"{function.signature} acts as {function.owner}, and nobody meant it to.",
            f"ALTER FUNCTION {function.signature} SECURITY INVOKER",
        )
    elif wanted and not function.as_definer:
        yield Finding(
            "definer_missing",
            function.signature,
            f"{function.signature} acts as its caller, who must not be able to do what it does.",
            f"ALTER FUNCTION {function.signature} SECURITY DEFINER",
        )
    allowed = (wanted,) if wanted else (OWNER, *DEFINERS)
    if function.owner not in allowed:
        yield Finding(
            "function_owner",
            function.signature,
            f"{function.signature} belongs to {function.owner}"
            + (", as whom it acts." if function.as_definer else ", who can replace it."),
            f"ALTER FUNCTION {function.signature} OWNER TO {allowed[0]}",
        )


def _is_ours(function: Function) -> bool:
    return function.name.startswith("app.") or function.name in FUNCTIONS
