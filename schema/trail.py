"""The tables that say what left, and who did what."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, ForeignKeyConstraint, Identity, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from schema.columns import Base, now, of_call, of_upload, org_id_column, row_id

_OF_EXPORT = text("export_id IS NOT NULL")


class RecordingDownload(Base):
    __tablename__ = "recording_downloads"
    __table_args__ = (
        of_call(),
        ForeignKeyConstraint(["org_id", "export_id"], ["recording_exports.org_id", "recording_exports.id"]),
        Index("recording_downloads_requested_by", "org_id", "requested_by", text("created_at DESC")),
        Index("recording_downloads_call", "call_id", "org_id"),
        Index(
            "recording_downloads_waiting",
            "created_at",
            postgresql_where=text("status = 'requested' AND kind = 'link'"),
        ),
        Index("recording_downloads_ending", "expires_at", postgresql_where=text("status = 'ready'")),
        Index("recording_downloads_created_at", "org_id", "created_at", postgresql_where=text("kind = 'link'")),
        Index("recording_downloads_newest", text("created_at DESC"), "id"),
        Index("recording_downloads_export", "org_id", "export_id", "id", postgresql_where=_OF_EXPORT),
        Index("recording_downloads_of_export", "export_id", postgresql_where=_OF_EXPORT),
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
    format: Mapped[str | None]


class RecordingExport(Base):
    __tablename__ = "recording_exports"
    __table_args__ = (
        UniqueConstraint("org_id", "id"),
        Index("recording_exports_requested_by", "org_id", "requested_by", text("created_at DESC")),
        Index("recording_exports_created_at", "org_id", "created_at"),
        Index(
            "recording_exports_waiting",
            "created_at",
            postgresql_where=text("status IN ('requested', 'processing')"),
        ),
        Index("recording_exports_ending", "expires_at", postgresql_where=text("status = 'ready'")),
        Index(
            "recording_exports_left",
            "org_id",
            postgresql_where=text("object_key IS NOT NULL AND status IN ('failed', 'revoked', 'expired')"),
        ),
    )
    id: Mapped[UUID] = row_id()
    org_id: Mapped[UUID] = org_id_column()
    requested_by: Mapped[UUID]
    reason: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="requested")
    recordings_total: Mapped[int]
    recordings_done: Mapped[int] = mapped_column(server_default="0")
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    sha256: Mapped[str | None]
    object_key: Mapped[str | None]
    expires_at: Mapped[datetime | None]
    error_code: Mapped[str | None]
    attempt: Mapped[int] = mapped_column(server_default="0")
    failures: Mapped[int] = mapped_column(server_default="0")
    dispatched_until: Mapped[datetime | None]
    lease_expires_at: Mapped[datetime | None]
    worker: Mapped[str | None]
    created_at: Mapped[datetime] = now()


class RecordingRendition(Base):
    __tablename__ = "recording_renditions"
    __table_args__ = (
        UniqueConstraint("org_id", "upload_id", "format"),
        of_call(),
        of_upload(),
        Index("recording_renditions_call", "org_id", "call_id"),
        Index("recording_renditions_object", "org_id", "object_key"),
    )
    id: Mapped[UUID] = row_id()
    org_id: Mapped[UUID] = org_id_column()
    call_id: Mapped[UUID]
    upload_id: Mapped[UUID]
    format: Mapped[str]
    object_key: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]
    source_sha256: Mapped[str]
    created_at: Mapped[datetime] = now()


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
