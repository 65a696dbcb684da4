"""Having a recording encoded: workers.encoder, started, watched, and ended when it takes too long."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, ClassVar

from workers import encoder
from workers.drain import Drain
from workers.errors import Interrupted, RecordingError

#: Of processor time: what an encoding costs is the recording's doing, how long it takes the machine's.
MOST_CPU_S = 90
#: By the clock, for everything that a machine may do meanwhile.
MOST_S = 110.0
_LOOK_EVERY_S = 0.2


class NoRendition(RecordingError):
    """There is no rendition of this recording, and there will be none."""

    code: ClassVar[str]


class NotConvertible(NoRendition):
    """The bytes cannot be decoded."""

    code = "not_convertible"


class RenditionTooLarge(NoRendition):
    """The recording, or what it would become, is larger than may be, or takes longer to encode."""

    code = "too_large"


class EncoderLost(RecordingError):
    """The encoder was killed, or was too slow on this machine: another try may go well."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """``most_bytes``: of what may come out."""

    most_bytes: int
    drain: Drain
    clock: Callable[[], float] = time.monotonic
    most_cpu_s: int = MOST_CPU_S
    most_s: float = MOST_S

    def encode(self, source: IO[bytes], target: IO[bytes], kind: str, wanted: str) -> None:
        """``source``, from its beginning, into ``target``, which is empty: both files. Raises ``NotConvertible``,
        ``RenditionTooLarge``; ``EncoderLost``; ``Interrupted`` when the drain is over."""
        source.seek(0)
        limits = (str(self.most_bytes), str(self.most_cpu_s))
        # No environment: settings and credentials are in ours. -I: nothing from the folder it starts in.
        process = subprocess.Popen(
            [sys.executable, "-I", "-m", encoder.__name__, str(os.getpid()), kind, wanted, *limits],
            stdin=source,
            stdout=target,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
        )
        try:
            self._judge(self._end(process))
        finally:
            process.kill()
            process.wait()

    def _end(self, process: "subprocess.Popen[bytes]") -> int:
        until = self.clock() + self.most_s
        while True:
            try:
                return process.wait(_LOOK_EVERY_S)
            except subprocess.TimeoutExpired:
                if self.drain.over:
                    raise Interrupted from None
                if self.clock() > until:
                    raise EncoderLost from None

    @staticmethod
    def _judge(ended: int) -> None:
        if ended == encoder.DONE:
            return
        if ended in {encoder.TOO_LARGE, -signal.SIGXCPU}:
            raise RenditionTooLarge
        # By anybody's hand: the system's, short of memory, or a person's.
        if ended in {-signal.SIGKILL, -signal.SIGTERM}:
            raise EncoderLost
        # Whatever else killed it, was in the recording.
        if ended == encoder.NOT_CONVERTIBLE or ended < 0:
            raise NotConvertible
        raise RuntimeError(f"the encoder did not run: it ended with {ended}")
