"""The server knows no published way around row-level security."""

from collections.abc import Iterator

from schema.lints.catalog import Catalog
from schema.lints.finding import Finding

_FIXED_IN = {
    "CVE-2023-2455 (a plan may be reused for another role)": {11: 20, 12: 15, 13: 11, 14: 8, 15: 3},
    "CVE-2025-8713 (statistics show values of rows that policies hide)": {13: 22, 14: 19, 15: 14, 16: 10, 17: 6},
}


def check(catalog: Catalog) -> Iterator[Finding]:
    """A warning for each hole of the server's that its next minor release closes."""
    major, minor = divmod(catalog.server.version, 10_000)
    for hole, fixed in _FIXED_IN.items():
        if minor < fixed.get(major, 0):
            yield Finding(
                "server_vulnerable",
                f"PostgreSQL {major}.{minor}",
                f"PostgreSQL {major}.{minor} has {hole}.",
                f"PostgreSQL {major}.{fixed[major]} or newer closes it",
                level="warning",
            )
