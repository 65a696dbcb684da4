"""Static checks: a look at the catalog that says what would let one organisation see another (DESIGN section 11).

The matrix (``schema/isolation.py``) tries; these read. They see what no query shows today: a grant that waits for a
policy, a view that nobody has asked yet, a role that may become another one. Supabase's published database lints are
among them where they apply to a schema like this one, each in the strict form that isolation wants: no list of
exceptions but ``declared.py``. Left out are those about size, bloat and tidiness, and about parts of Supabase that this
project does not use (queues, buckets, GraphQL, ``auth.users``).
"""

from typing import Any

import psycopg

from schema.lints import functions, keys, logins, policies, privileges, server, tables
from schema.lints.catalog import Catalog
from schema.lints.finding import Finding
from schema.lints.read import read

__all__ = ["Finding", "findings", "judge"]

_CHECKS = (
    tables.check,
    policies.check,
    privileges.check,
    functions.check,
    keys.check,
    logins.check,
    server.check,
)


def findings(connection: psycopg.Connection[Any]) -> tuple[Finding, ...]:
    """Everything that is not as it must be, errors before warnings; empty where all is well.

    Reads catalogs that every login may read, in a read-only transaction or savepoint that is rolled back.
    """
    return judge(read(connection))


def judge(catalog: Catalog) -> tuple[Finding, ...]:
    """The same, of a catalog that was read already."""
    found = {finding for check in _CHECKS for finding in check(catalog)}
    return tuple(sorted(found, key=lambda one: (one.level, one.object, one.code, one.sentence)))
