"""What people write: fetch to a file, upload the file, mark it done, in one transaction. Used by two peers.

Settings come from the environment: DATABASE_URL, AWS_*, RECORDINGS_BUCKET.
"""

import os
import tempfile
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import uuid4

import boto3
import requests
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    pass


class Recording(Base):
    __tablename__ = "recordings"
    id: Mapped[int] = mapped_column(primary_key=True)
    source_url: Mapped[str]
    status: Mapped[str]
    object_key: Mapped[str | None]
    completed_at: Mapped[datetime | None]


@cache
def engine() -> Engine:
    """One a process."""
    return create_engine(os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://", 1))


@cache
def client() -> Any:
    """One a process: making one costs 80 ms."""
    return boto3.client("s3")


def carry_out(recording_id: int) -> None:
    with Session(engine()) as session, session.begin():
        recording = session.get_one(Recording, recording_id)
        recording.object_key = copied(recording.source_url)
        recording.status = "completed"
        recording.completed_at = datetime.now(UTC)


def copied(url: str) -> str:
    """To where it was stored."""
    key = f"recordings/{uuid4()}.wav"
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        response = requests.get(url, timeout=60)
        response.raise_for_status()
        file.write(response.content)
        file.flush()
        client().upload_file(file.name, os.environ["RECORDINGS_BUCKET"], key)
    return key
