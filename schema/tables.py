"""The tables, for reading and for the cold paths. The migrations make them; a test holds this page to them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Computed,
    ForeignKeyConstraint,
    Identity,
    Index,
    SmallInteger,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from schema.columns import Base, now, of_call, of_upload, org_id_column, row_id
from schema.machinery import ErasureRow, GrantKeyRow, StorageFinding, SweepRow  # noqa: F401 - the rest of the metadata
from schema.trail import AuditLog, RecordingDownload, RecordingExport, RecordingRendition  # noqa: F401 - and what leaves


class Organization(Base):
    __tablename__ = "organizations"
    id: Mapped[UUID] = row_id()
    name: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="active")
    created_at: Mapped[datetime] = now()
    recording_retention_days: Mapped[int | None]


class Agent(Base):
    __tablename__ = "agents"
    __table_args__ = (
        UniqueConstraint("org_id", "id"),
        UniqueConstraint("org_id", "provider", "provider_agent_id"),
        Index(
            "agents_provider_agent_id",
            "provider",
            "provider_agent_id",
            postgresql_where=text("provider_agent_id IS NOT NULL"),
        ),
    )
    id: Mapped[UUID] = row_id()
    org_id: Mapped[UUID] = org_id_column()
    name: Mapped[str]
    role: Mapped[str | None]
    provider: Mapped[str | None]
    provider_agent_id: Mapped[str | None]
    system_prompt: Mapped[str | None]
    first_message: Mapped[str | None]
    voice: Mapped[str | None]
    language: Mapped[str | None]
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[datetime] = now()
    updated_at: Mapped[datetime] = now()


class Lead(Base):
    __tablename__ = "leads"
    __table_args__ = (UniqueConstraint("org_id", "id"),)
    id: Mapped[UUID] = row_id()
    org_id: Mapped[UUID] = org_id_column()
    name: Mapped[str | None]
    email: Mapped[str | None]
    phone: Mapped[str | None]
    company: Mapped[str | None]
    status: Mapped[str] = mapped_column(server_default="new")
    source: Mapped[str | None]
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", server_default="{}")
    created_at: Mapped[datetime] = now()
    updated_at: Mapped[datetime] = now()


class KnowledgeBase(Base):
    __tablename__ = "knowledge_base"
    __table_args__ = (Index("knowledge_base_org_id", "org_id"),)
    id: Mapped[UUID] = row_id()
    org_id: Mapped[UUID] = org_id_column()
    filename: Mapped[str]
    content: Mapped[str]
    category: Mapped[str] = mapped_column(server_default="general")
    version: Mapped[int] = mapped_column(server_default="1")
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", server_default="{}")
    created_at: Mapped[datetime] = now()
    updated_at: Mapped[datetime] = now()


class InboundAgentConfig(Base):
    __tablename__ = "inbound_agent_config"
    __table_args__ = (
        ForeignKeyConstraint(["org_id", "agent_id"], ["agents.org_id", "agents.id"], ondelete="SET NULL (agent_id)"),
        Index("inbound_agent_config_phone_number", "phone_number", postgresql_where=text("phone_number IS NOT NULL")),
    )
    id: Mapped[UUID] = row_id()
    org_id: Mapped[UUID] = org_id_column(unique=True)
    agent_id: Mapped[UUID | None]
    phone_number: Mapped[str | None]
    greeting: Mapped[str | None]
    settings: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[datetime] = now()
    updated_at: Mapped[datetime] = now()


class Integration(Base):
    __tablename__ = "integrations"
    __table_args__ = (UniqueConstraint("org_id", "provider"),)
    id: Mapped[UUID] = row_id()
    org_id: Mapped[UUID] = org_id_column()
    provider: Mapped[str]
    sealed_credentials: Mapped[bytes | None]
    key_id: Mapped[str | None] = mapped_column(Computed("app.seal_key_id(sealed_credentials)", persisted=True))
    created_at: Mapped[datetime] = now()
    updated_at: Mapped[datetime] = now()


class CallLog(Base):
    __tablename__ = "call_logs"
    __table_args__ = (
        UniqueConstraint("org_id", "id"),
        UniqueConstraint("org_id", "provider", "provider_call_id"),
        ForeignKeyConstraint(["org_id", "agent_id"], ["agents.org_id", "agents.id"], ondelete="SET NULL (agent_id)"),
        ForeignKeyConstraint(["org_id", "lead_id"], ["leads.org_id", "leads.id"], ondelete="SET NULL (lead_id)"),
        Index("call_logs_org_id_started_at", "org_id", text("started_at DESC")),
        Index("call_logs_agent_id", "org_id", "agent_id", postgresql_where=text("agent_id IS NOT NULL")),
        Index("call_logs_lead_id", "org_id", "lead_id", postgresql_where=text("lead_id IS NOT NULL")),
        Index(
            "call_logs_retention",
            "org_id",
            "recording_uploaded_at",
            postgresql_where=text("recording_status = 'completed' AND NOT legal_hold"),
        ),
    )
    id: Mapped[UUID] = row_id()
    org_id: Mapped[UUID] = org_id_column()
    provider: Mapped[str]
    provider_call_id: Mapped[str]
    agent_id: Mapped[UUID | None]
    lead_id: Mapped[UUID | None]
    direction: Mapped[str | None]
    from_number: Mapped[str | None]
    to_number: Mapped[str | None]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    duration_s: Mapped[int | None]
    transcript: Mapped[str | None]
    recording_status: Mapped[str | None]
    recording_key: Mapped[str | None]
    recording_format: Mapped[str | None]
    recording_size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    recording_sha256: Mapped[str | None]
    recording_uploaded_at: Mapped[datetime | None]
    legal_hold: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime] = now()


class RecordingUpload(Base):
    __tablename__ = "recording_upload_queue"
    __table_args__ = (
        UniqueConstraint("org_id", "id"),
        UniqueConstraint("org_id", "provider", "recording_id"),
        of_call(),
        Index(
            "recording_upload_queue_due",
            "org_id",
            "priority",
            "next_attempt_at",
            postgresql_where=text("status = 'pending'"),
        ),
        Index(
            "recording_upload_queue_leased",
            "org_id",
            "lease_expires_at",
            postgresql_where=text("status = 'processing'"),
        ),
        Index(
            "recording_upload_queue_failed",
            "org_id",
            postgresql_where=text("status = 'failed' AND lease_expires_at IS NULL"),
        ),
        Index(
            "recording_upload_queue_dispatched",
            "org_id",
            "dispatched_until",
            postgresql_where=text("status = 'pending' AND dispatched_until IS NOT NULL"),
        ),
        Index("recording_upload_queue_call", "org_id", "call_id"),
        Index(
            "recording_upload_queue_object",
            "org_id",
            "object_key",
            postgresql_where=text("object_key IS NOT NULL"),
        ),
    )
    id: Mapped[UUID] = row_id()
    org_id: Mapped[UUID] = org_id_column()
    call_id: Mapped[UUID]
    provider: Mapped[str]
    recording_id: Mapped[str]
    source_url: Mapped[str]
    priority: Mapped[int] = mapped_column(SmallInteger, server_default="5")
    status: Mapped[str] = mapped_column(server_default="pending")
    attempt: Mapped[int] = mapped_column(server_default="0")
    failures: Mapped[int] = mapped_column(server_default="0")
    max_failures: Mapped[int] = mapped_column(server_default="10")
    next_attempt_at: Mapped[datetime] = now()
    dispatched_until: Mapped[datetime | None]
    lease_expires_at: Mapped[datetime | None]
    worker: Mapped[str | None]
    claim_id: Mapped[UUID | None]
    object_key: Mapped[str | None]
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    sha256: Mapped[str | None]
    content_type: Mapped[str | None]
    error_code: Mapped[str | None]
    created_at: Mapped[datetime] = now()
    completed_at: Mapped[datetime | None]
    retried_at: Mapped[datetime | None]
    erased_at: Mapped[datetime | None]


class FailedRecordingUpload(Base):
    __tablename__ = "failed_recording_uploads"
    __table_args__ = (
        of_call(),
        of_upload(),
        Index(
            "failed_recording_uploads_open",
            "org_id",
            "upload_id",
            unique=True,
            postgresql_where=text("resolved_at IS NULL"),
        ),
        Index("failed_recording_uploads_call", "org_id", "call_id"),
        Index("failed_recording_uploads_upload", "upload_id", "org_id"),
        Index(
            "failed_recording_uploads_unresolved",
            "org_id",
            "error_code",
            "last_failed_at",
            postgresql_where=text("resolved_at IS NULL"),
        ),
        Index("failed_recording_uploads_oldest", "first_failed_at", "id", postgresql_where=text("resolved_at IS NULL")),
    )
    id: Mapped[UUID] = row_id()
    org_id: Mapped[UUID] = org_id_column()
    call_id: Mapped[UUID]
    upload_id: Mapped[UUID]
    error_code: Mapped[str]
    error_message: Mapped[str]
    failure_count: Mapped[int] = mapped_column(server_default="1")
    first_failed_at: Mapped[datetime] = now()
    last_failed_at: Mapped[datetime] = now()
    next_retry_at: Mapped[datetime | None]
    given_up_at: Mapped[datetime | None]
    resolved_at: Mapped[datetime | None]
    resolution: Mapped[str | None]


class RecordingUploadMetric(Base):
    __tablename__ = "recording_upload_metrics"
    __table_args__ = (
        UniqueConstraint("org_id", "upload_id", "attempt"),
        of_call(),
        of_upload(),
        Index("recording_upload_metrics_call", "org_id", "call_id"),
        Index("recording_upload_metrics_created_at", "org_id", "created_at"),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    org_id: Mapped[UUID] = org_id_column()
    call_id: Mapped[UUID]
    upload_id: Mapped[UUID]
    attempt: Mapped[int]
    outcome: Mapped[str]
    error_code: Mapped[str | None]
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    queue_ms: Mapped[int | None]
    fetch_ms: Mapped[int | None]
    store_ms: Mapped[int | None]
    total_ms: Mapped[int | None]
    worker: Mapped[str | None]
    created_at: Mapped[datetime] = now()
