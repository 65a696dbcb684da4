"""What every table of ours is made of: its base class, and the columns and keys that recur."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import DateTime, ForeignKey, ForeignKeyConstraint, LargeBinary, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, MappedColumn, mapped_column

_UUID = text("gen_random_uuid()")
_NOW = text("now()")


class Base(DeclarativeBase):
    """Every time is a timestamptz, every string a text, every mapping a jsonb."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: DateTime(timezone=True),
        str: Text(),
        UUID: Uuid(),
        bytes: LargeBinary(),
        dict[str, Any]: JSONB(),
    }


def row_id() -> MappedColumn[UUID]:
    """The primary key."""
    return mapped_column(primary_key=True, server_default=_UUID)


def org_id_column(*, unique: bool = False) -> MappedColumn[UUID]:
    """Whose row it is: on every table but organizations, never null, never changed (DESIGN section 4)."""
    return mapped_column(ForeignKey("organizations.id"), unique=unique or None)


def now() -> MappedColumn[datetime]:
    """A time that the database sets when the row is made."""
    return mapped_column(server_default=_NOW)


def of_call() -> ForeignKeyConstraint:
    """The composite key: a row of another organisation's call cannot exist (DESIGN section 4)."""
    return ForeignKeyConstraint(["org_id", "call_id"], ["call_logs.org_id", "call_logs.id"])


def of_upload() -> ForeignKeyConstraint:
    """As ``of_call``, for a row of an upload."""
    return ForeignKeyConstraint(["org_id", "upload_id"], ["recording_upload_queue.org_id", "recording_upload_queue.id"])
