"""Two programs that are good at copying: rclone, which stores, and curl, which only reads: the ceiling. Neither keeps a
queue, knows an organisation or writes anything down. Their start is part of what they cost."""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from bench.ground import Ground
from bench.peers.peer import WARM_UP_SIZE, Cell, Measured, PeerFailedError
from bench.usage import timed
from workers.embedded.process import basics

PARALLEL = 16


@dataclass(frozen=True, slots=True)
class Rclone:
    """``copyurl --urls`` without the HEAD after each upload, which makes it cheaper."""

    name: str = "rclone"

    @contextmanager
    def ready(self, ground: Ground, cell: Cell) -> Iterator["Command"]:
        s3 = ground.s3(cell.sink)
        settings = {
            "RCLONE_CONFIG": str(ground.folder / "rclone.conf"),
            "RCLONE_CONFIG_S3_TYPE": "s3",
            "RCLONE_CONFIG_S3_PROVIDER": "Other",
            "RCLONE_CONFIG_S3_ACCESS_KEY_ID": s3["AWS_ACCESS_KEY_ID"],
            "RCLONE_CONFIG_S3_SECRET_ACCESS_KEY": s3["AWS_SECRET_ACCESS_KEY"],
            "RCLONE_CONFIG_S3_ENDPOINT": s3["AWS_ENDPOINT_URL_S3"],
            "RCLONE_CONFIG_S3_REGION": s3["AWS_DEFAULT_REGION"],
        }
        program = _found("rclone")
        target = f"s3:{s3['RECORDINGS_BUCKET']}/rclone"

        def argv(urls: list[str]) -> list[str]:
            batch, listed = uuid4().hex[:8], ground.folder / "urls.csv"
            listed.write_text("".join(f"{url},{batch}-{number}.wav\n" for number, url in enumerate(urls)))
            options = ["--transfers", str(PARALLEL), "--s3-no-head", "--s3-no-check-bucket", "--retries", "1"]
            return [program, "copyurl", "--urls", str(listed), target, *options]

        yield Command(ground, cell, argv, basics() | settings)


@dataclass(frozen=True, slots=True)
class Curl:
    """Reads, and stores nothing."""

    name: str = "curl"
    parallel: int = PARALLEL

    @contextmanager
    def ready(self, ground: Ground, cell: Cell) -> Iterator["Command"]:
        program = _found("curl")

        def argv(urls: list[str]) -> list[str]:
            listed = ground.folder / "curl.conf"
            listed.write_text("".join(f'url = "{url}"\noutput = "/dev/null"\n' for url in urls))
            at_once = ["-Z", "--parallel-max", str(self.parallel)] if self.parallel > 1 else []
            return [program, "-s", "-f", *at_once, "-K", str(listed)]

        yield Command(ground, cell, argv, basics())


@dataclass(frozen=True, slots=True)
class Command:
    ground: Ground
    cell: Cell
    argv: Callable[[list[str]], list[str]]
    environment: dict[str, str]

    def warm_up(self) -> None:
        self.carry_out(PARALLEL, WARM_UP_SIZE)

    def backlog(self, count: int) -> Measured:
        return self.carry_out(count, self.cell.size)

    def carry_out(self, count: int, size: int) -> Measured:
        urls = [self.ground.place.url(size, number) for number in range(count)]
        seconds, usage = timed(self.argv(urls), environment=self.environment)
        return Measured(seconds, usage)

    def steady(self, count: int, rate: float) -> Measured:
        raise PeerFailedError(f"a command is started once for all, not for {count} at {rate} a second")


def _found(name: str) -> str:
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise PeerFailedError(f"{name} is not installed")
    return found
