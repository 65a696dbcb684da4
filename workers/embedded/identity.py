"""Whom a server runs as. PostgreSQL refuses root; everything here lets root start it without changing the system."""

import os
import pwd
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from workers.embedded import launch
from workers.embedded.errors import StateUnusable

SHARED = Path("/var/tmp/recording-pipeline")  # noqa: S108  owned by root and checked: see shared_folder
FOR_OTHERS = stat.S_IROTH | stat.S_IXOTH


@dataclass(frozen=True, slots=True)
class Identity:
    """``how`` is same, namespace or user: see launch.py."""

    how: str
    uid: int = 0
    gid: int = 0

    def __str__(self) -> str:
        return self.how if self.how == "same" else f"{self.how}:{self.uid}:{self.gid}"


SAME = Identity("same")


def namespace() -> Identity:
    """Nobody, inside a user namespace: files stay root's, nothing is copied."""
    nobody = pwd.getpwnam("nobody")
    return Identity("namespace", nobody.pw_uid, nobody.pw_gid)


def nobody() -> Identity:
    """Really nobody: needs binaries and a data folder that nobody can reach."""
    user = pwd.getpwnam("nobody")
    return Identity("user", user.pw_uid, user.pw_gid)


def unprivileged() -> Identity:
    """The caller, unless that is root. Some containers forbid user namespaces, which only trying tells (30 ms)."""
    if os.geteuid() != 0:
        return SAME
    return namespace() if namespaces_work() else nobody()


def namespaces_work() -> bool:
    if sys.platform != "linux":
        return False
    argv = [sys.executable, "-I", "-S", launch.__file__, "0", str(os.getpid()), str(namespace()), "/bin/true"]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0


def is_reachable(path: Path) -> bool:
    """Whether everybody may walk to this folder and read it."""
    return all(step.stat().st_mode & FOR_OTHERS == FOR_OTHERS for step in (path, *path.parents))


def shared_folder() -> Path:
    """A folder of root's that others can walk through. Its name is known, so somebody else may have made it first."""
    SHARED.mkdir(mode=0o755, exist_ok=True)
    found = SHARED.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o022:
        raise StateUnusable(f"{SHARED} is not a folder that only root can change: remove it")
    SHARED.chmod(0o755)
    return SHARED


def reachable_copy(bin_dir: Path) -> Path:
    """The same installation where nobody can run it. A wheel's libraries lie beside its package (auditwheel): they come
    along, in the same layout. Costs 0.15 s and 50 MB once."""
    bin_dir = bin_dir.resolve()
    if is_reachable(bin_dir):
        return bin_dir
    package = bin_dir.parents[1]
    libraries = package.with_name(package.name + ".libs")
    target = shared_folder() / f"{package.name}-{int(package.stat().st_mtime)}"
    if not target.exists():
        building = target.with_name(f"{target.name}.{os.getpid()}")
        for source in (package, libraries):
            if source.exists():
                shutil.copytree(source, building / source.name, symlinks=True)
        subprocess.run(["/bin/chmod", "-R", "a+rX,go-w", str(building)], check=True)
        try:
            building.rename(target)
        except OSError:  # another process was faster
            shutil.rmtree(building)
    return target / package.name / bin_dir.relative_to(package)


def owned_folder(identity: Identity, link: Path) -> Path:
    """A data folder that belongs to another user, outside the private state folder, and a link to it from inside."""
    if not link.is_symlink():
        folder = shared_folder() / f"data-{os.urandom(6).hex()}"
        folder.mkdir(mode=0o700)
        os.chown(folder, identity.uid, identity.gid)
        link.symlink_to(folder)
    return link.resolve()


def remove_owned(link: Path) -> None:
    """Delete what ``owned_folder`` made, if it made anything."""
    if link.is_symlink():
        shutil.rmtree(link.resolve())
        link.unlink()
