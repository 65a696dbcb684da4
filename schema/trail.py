"""The tables that say what left, and who did what."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from schema.columns import Base, now, of_call, org_id_column, row_id


class RecordingDownload(Base):
    __tablename__ = "recording_downloads"
    __table_args__ = (
        of_call(),
        Index("recording_downloads_requested_by", "org_id", "requested_by", text("created_at DESC")),
        Index("recording_downloads_call", "call_id", "org_id"),
        Index("recording_downloads_waiting", "created_at", postgresql_where=text("status = 'requested'")),
        Index("recording_downloads_ending", "expires_at", postgresql_where=text("status = 'ready'")),
        Index("recording_downloads_created_at", "org_id", "created_at"),
        Index("recording_downloads_newest", text("created_at DESC"), "id"),
    )
    id: Mapped[UUID] = row_id()
    org_id: Mapped[UUID] = org_id_column()
    call_id: Mapped[UUID]
    requested_by: Mapped[UUID]
    reason: Mapped[str]
    kind: Mapped[str] = mapped_column(server_default="link")
    export_id: Mapped[UUID | None]
    status: Mapped[str] = mapped_column(server_default="requested")
    url: Mapped[str | None]
    expires_at: Mapped[datetime | None]
    sha256: Mapped[str | None]
    created_at: Mapped[datetime] = now()
    error_code: Mapped[str | None]
    dispatched_until: Mapped[datetime | None]


class AuditLog(Base):
    __tablename__ = "audit_log"
    __table_args__ = (
        Index("audit_log_org_id_at", "org_id", text("at DESC")),
        Index("audit_log_subject", "subject_id", "at", postgresql_where=text("subject_id IS NOT NULL")),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    at: Mapped[datetime] = now()
    org_id: Mapped[UUID | None] = mapped_column(ForeignKey("organizations.id"))
    actor: Mapped[str]
    action: Mapped[str]
    subject_id: Mapped[UUID | None]
    reason: Mapped[str | None]
    detail: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
