"""boto3's clients of a process, made when they are first asked for: each knows all of S3, which takes 6 MiB and 0.1 s,
and the way of an upload needs none (put.py)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import RLock
from typing import Any


@dataclass(slots=True)
class Clients:
    """``core`` is botocore's session, with the credentials. ``dial(session, endpoint_url=…)`` makes a client;
    ``users_endpoint_url``: where users reach the store, if not where we do. Threads may share it."""

    core: Any
    dial: Callable[..., Any]
    users_endpoint_url: str | None = None
    _session: Any = field(default=None, init=False)
    _client: Any = field(default=None, init=False)
    _signer: Any = field(default=None, init=False)
    # Sessions of boto3 are for one thread.
    _lock: RLock = field(default_factory=RLock, init=False)

    @property
    def client(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = self._dialled()
            return self._client

    @property
    def signer(self) -> Any:
        """Signs for the address at which users reach the store, and asks it nothing."""
        if self.users_endpoint_url is None:
            return self.client
        with self._lock:
            if self._signer is None:
                self._signer = self._dialled(endpoint_url=self.users_endpoint_url)
            return self._signer

    def _dialled(self, **where: str) -> Any:
        import boto3  # noqa: PLC0415 - 2 MB of its own, which most processes never need

        # One session for both: a second would add its methods to the same core's clients again, which boto3 refuses.
        if self._session is None:
            self._session = boto3.session.Session(botocore_session=self.core)
        return self.dial(self._session, **where)

    def close(self) -> None:
        for made in (self._client, self._signer):
            if made is not None:
                made.close()
