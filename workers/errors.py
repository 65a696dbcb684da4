"""Every way in which an attempt can end badly, one class a code, in a tree by who acts next (DESIGN section 7).

    AttemptError
    ├── Retryable   the row's clock acts: back off, try again, one failure used up (but for STORE_FAULTS)
    ├── NotReady    the row's clock acts: look again later, nothing used up, bounded by age
    ├── ForOperator a person acts: credentials, permissions
    └── Final       nobody acts: the recording cannot be had
    LeaseLost       not a failure: another attempt owns the row now
    Interrupted     not a failure: this worker is shutting down and puts the row back

The code is what the row, the failure, the metric and the log line carry; the message never holds a URL, a token or a
header (law 7), which is why these take no free text from the outside. Vendor errors are translated into these only in
the adapter that meets them, with ``from``.
"""

from typing import ClassVar


class RecordingError(Exception):
    """Something that this system has a name for. The docstring of a class is its default message."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").partition("\n")[0])


class AttemptError(RecordingError):
    """An attempt failed."""

    code: ClassVar[str]


class Retryable(AttemptError):
    """Worth another try, later."""

    def __init__(self, message: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NotReady(AttemptError):
    """The provider has not finished the recording."""


class ForOperator(AttemptError):
    """Somebody has to change a credential or a permission first."""


class Final(AttemptError):
    """No further try can succeed."""


class SourceUnreachable(Retryable):
    """No connection to the provider: DNS, TCP or TLS failed."""

    code = "source_unreachable"


class SourceTimeout(Retryable):
    """The provider stopped sending, or the whole transfer took too long."""

    code = "source_timeout"


class SourceError(Retryable):
    """The provider answered with a server error or something unintelligible."""

    code = "source_error"


class SourceTruncated(Retryable):
    """The body ended before its announced length."""

    code = "source_truncated"


class SourceThrottled(Retryable):
    """The provider asked for fewer requests."""

    code = "source_throttled"


class StoreUnavailable(Retryable):
    """The object store could not be reached or failed."""

    code = "store_unavailable"


class StoreThrottled(Retryable):
    """The object store asked for fewer requests."""

    code = "store_throttled"


class IntegrityMismatch(Retryable):
    """The bytes that were stored are not the bytes that were read."""

    code = "integrity_mismatch"


class WorkerLost(Retryable):
    """The worker died, or went silent past its lease."""

    code = "worker_lost"


class SourceNotReady(NotReady):
    """The provider says that the recording is not there yet."""

    code = "source_not_ready"


class SourceForbidden(ForOperator):
    """The provider refused the credentials, or wants some."""

    code = "source_forbidden"


class CredentialsMissing(ForOperator):
    """No usable credentials are stored for this provider and organisation."""

    code = "credentials_missing"


class StoreDenied(ForOperator):
    """The object store refused: permissions, or no such bucket."""

    code = "store_denied"


class ObjectPersists(ForOperator):
    """The object store said that it deleted an object, and still has it."""

    code = "object_persists"


#: The store's faults, not the recording's: they use up nothing, and pause storing (circuit.py).
STORE_FAULTS = (StoreUnavailable, StoreThrottled, StoreDenied)


class SourceGone(Final):
    """The provider no longer has the recording."""

    code = "source_gone"


class SourceBlocked(Final):
    """The address is not one that may be fetched: not public, not https, or too many redirects."""

    code = "source_blocked"


class NotAudio(Final):
    """The bytes are not audio of a known kind."""

    code = "not_audio"


class TooLarge(Final):
    """The recording is larger than the limit."""

    code = "too_large"


class Empty(Final):
    """The recording has no bytes."""

    code = "empty"


class LeaseLost(RecordingError):
    """Another attempt owns the row: nothing may be written."""


class Interrupted(RecordingError):
    """The worker is shutting down; the row goes back unharmed."""
