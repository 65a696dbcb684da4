"""A signed-in user of each organisation downloads a recording of theirs, and tries one of a neighbour's."""

import tempfile
from collections.abc import Iterator, Sequence
from hashlib import file_digest
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
from sqlalchemy import create_engine, text

from schema.tenancy import user_transaction
from workers.demo.evidence import Handed
from workers.demo.stage import Stage
from workers.pickup import DownloadError, Pickup, fetch
from workers.tokens import User

_REASON = "the demo asks"
_WITHIN_S = 30.0
_STORED = text("SELECT id, recording_sha256 FROM public.call_logs WHERE recording_status = 'completed' LIMIT 1")


def download_as_users(stage: Stage, org_ids: Sequence[UUID]) -> Iterator[Handed]:
    """The way of an API: SQL as the user, then the link. Each tries the recording that the one before them got."""
    url = stage.environment("authenticator")["DATABASE_URL"]
    engine = create_engine("postgresql+psycopg://" + url.partition("://")[2])
    with psycopg.connect(url, autocommit=True) as listener, tempfile.TemporaryDirectory() as folder:
        neighbours: UUID = uuid4()
        for org_id in org_ids:
            user = User(user_id=uuid4(), org_id=org_id)
            with user_transaction(engine, user.claims) as connection:
                found = connection.execute(_STORED).first()
            if found is None:
                yield Handed(org_id, stored=None, got=None, refused=None)
                continue
            pickup = Pickup(engine, listener, user)
            got = _download(pickup, found.id, Path(folder) / f"{org_id}.audio")
            yield Handed(org_id, stored=found.recording_sha256, got=got, refused=_refusal(pickup, neighbours))
            neighbours = found.id
    engine.dispose()


def _download(pickup: Pickup, call_id: UUID, out: Path) -> str | None:
    try:
        fetch(pickup.wait(pickup.ask(call_id, _REASON), _WITHIN_S), out, lambda _: None)
    except DownloadError:
        return None
    with out.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _refusal(pickup: Pickup, call_id: UUID) -> str | None:
    """The code with which another organisation's call was refused."""
    try:
        pickup.ask(call_id, _REASON)
    except DownloadError as error:
        return str(error).partition(":")[0]
    return None
