"""What processes cost: CPU, and memory at its peak. Of the client side only; servers are everybody's."""

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

_LOOK_EVERY_S = 0.25
_MB = 1e6


@dataclass(frozen=True, slots=True)
class Usage:
    """``cpu_s`` is user and system together; ``rss_mb`` the highest peak of a single process, ``pss_mb`` of all
    together, shared pages counted once. None where the system does not say."""

    cpu_s: float
    rss_mb: float | None
    pss_mb: float | None


class Observed:
    """``with Observed(pids) as seen: …``, then ``seen.usage``. Their children count too."""

    usage: Usage

    def __init__(self, pids: Iterable[int]) -> None:
        self._roots = [psutil.Process(pid) for pid in pids]
        self._over = threading.Event()
        self._pss_mb = 0.0
        self._sampler = threading.Thread(target=self._sample, name="usage", daemon=True)

    def __enter__(self) -> Self:
        self._before_s = self._cpu_s()
        self._sampler.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._sampler.join()
        peaks = [peak for process in self._all() if (peak := peak_mb(process.pid)) is not None]
        self.usage = Usage(self._cpu_s() - self._before_s, max(peaks, default=None), self._pss_mb or None)

    def _all(self) -> list[psutil.Process]:
        found: list[psutil.Process] = []
        for root in self._roots:
            with suppress(psutil.NoSuchProcess):
                found += [root, *root.children(recursive=True)]
        return found

    def _cpu_s(self) -> float:
        total = 0.0
        for process in self._all():
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def _sample(self) -> None:
        while not self._over.wait(_LOOK_EVERY_S):
            self._pss_mb = max(self._pss_mb, sum(pss_mb(process.pid) for process in self._all()))


def peak_mb(pid: int) -> float | None:
    """A process's peak of resident memory so far (VmHWM)."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / _MB
    return None


def forget_peak(pid: int) -> None:
    """From now on the peak is counted anew, where the system lets us: the kernel's "5" (proc_pid_clear_refs(5))."""
    with suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def pss_mb(pid: int) -> float:
    """Its own pages, and its share of those that it shares; 0 where nobody says."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024 / _MB
    return 0.0


def timed(argv: Sequence[str | Path], *, environment: dict[str, str] | None = None) -> tuple[float, Usage]:
    """Run a program to its end: seconds, and what it cost, start-up included. CalledProcessError if it fails."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as said:
        popen = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said, env=environment
        )
        peaks = _Peaks(popen.pid)
        _, status, spent = os.wait4(popen.pid, 0)
        seconds = time.monotonic() - began
        popen.returncode = os.waitstatus_to_exitcode(status)
        if popen.returncode:
            said.seek(0)
            raise subprocess.CalledProcessError(popen.returncode, [str(argv[0])], stderr=said.read())
    return seconds, Usage(spent.ru_utime + spent.ru_stime, peaks.end(), None)


class _Peaks:
    """The kernel's own peak (ru_maxrss) counts what was there before exec: the parent's pages."""

    def __init__(self, pid: int) -> None:
        self._pid, self._over, self._peak = pid, threading.Event(), 0.0
        self._thread = threading.Thread(target=self._look, name="peaks", daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(0.02):
            self._peak = max(self._peak, peak_mb(self._pid) or 0.0)

    def end(self) -> float | None:
        self._over.set()
        self._thread.join()
        return self._peak or None
