"""Starting the source and the sinks, and where they are."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from workers.demo.recordings import wav
from workers.embedded import ports
from workers.embedded.children import ROOM
from workers.embedded.process import Process, Program, basics, spawn
from workers.embedded.ready import wait_ready

SIZES = {"200 KB": 200_000, "2 MB": 2_000_000, "64 MB": 67_108_864}
FILES = {200_000: 16, 2_000_000: 8, 67_108_864: 4}
LATENCY_MS = 50

# sendfile from a folder in memory, no log: what the machine can do, so that the source is never what is measured.
_NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr error;
events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; default_type audio/x-wav;
    client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{ listen 127.0.0.1:{port}; root {files}; }}
}}
"""


@dataclass(slots=True)
class Web:
    """One HTTP server of the benchmark's own, as ``wait_ready`` wants it."""

    name: str
    argv: tuple[str | Path, ...]
    port: int
    log: Path

    def start(self) -> Process:
        return spawn(Program(self.name, self.argv, self.log, basics(), cwd=ROOM))

    def is_ready(self) -> bool:
        return ports.is_listening(self.port)

    @property
    def url(self) -> str:
        return f"http://{ports.LOOPBACK}:{self.port}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where to copy from, and the sinks by name."""

    source: Web
    sinks: dict[str, Web]
    memory: Path
    """A folder in memory where the system has such, else on disk."""

    def url(self, size: int, number: int) -> str:
        """A recording of this size; each number is a URL of its own."""
        return f"{self.source.url}/{size}-{number % FILES[size]}.wav?n={number}"


@contextmanager
def place(folder: Path) -> Iterator[Place]:
    """Files in memory where the system has such a folder. From the main thread only."""
    shared = Path("/dev/shm")  # noqa: S108 - a folder of our own in it
    memory = (shared if os.access(shared, os.W_OK) else folder) / f"recordings-bench-{os.getpid()}"
    files = memory / "files"
    files.mkdir(mode=0o755, parents=True)
    try:
        _write(files)
        here = Place(_source(folder, files), _sinks(folder), memory)
        with ExitStack() as stack:
            for process in wait_ready([here.source, *here.sinks.values()]).values():
                stack.callback(process.stop)
            yield here
    finally:
        shutil.rmtree(memory, ignore_errors=True)


def _write(files: Path) -> None:
    for size, count in FILES.items():
        for number in range(count):
            path = files / f"{size}-{number}.wav"
            path.write_bytes(wav(number + 1, size))
            path.chmod(0o644)


def nginx() -> str | None:
    """Debian's, where it is installed; BENCH_NGINX names another."""
    return os.environ.get("BENCH_NGINX") or shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


def _source(folder: Path, files: Path) -> Web:
    port, found, log = ports.pick(1)[0], nginx(), folder / "source.log"
    if found is None:
        return Web("sendfile", (sys.executable, "-m", "bench.servers.source", str(port), files), port, log)
    configuration = folder / "nginx.conf"
    configuration.write_text(_NGINX.format(folder=folder, port=port, files=files))
    return Web("nginx", (found, "-p", folder, "-c", configuration, "-e", "stderr"), port, log)


def _sinks(folder: Path) -> dict[str, Web]:
    found = {}
    for name, latency_ms in (("null", 0), ("null50", LATENCY_MS)):
        port = ports.pick(1)[0]
        argv = (sys.executable, "-m", "bench.servers.sink", str(port), str(latency_ms))
        found[name] = Web(name, argv, port, folder / f"{name}.log")
    return found
