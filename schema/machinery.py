"""The tables of schema app: private machinery, which no API publishes."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from schema.columns import Base, now, of_call, org_id_column, row_id


class GrantKeyRow(Base):
    """A key of the task grants (DESIGN section 5)."""

    __tablename__ = "grant_keys"
    __table_args__ = ({"schema": "app"},)
    kid: Mapped[str] = mapped_column(primary_key=True)
    inner_pad: Mapped[bytes]
    outer_pad: Mapped[bytes]
    created_at: Mapped[datetime] = now()
    expires_at: Mapped[datetime | None]


class WorkerRow(Base):
    """What a worker said of itself last."""

    __tablename__ = "workers"
    __table_args__ = ({"schema": "app"},)
    name: Mapped[str] = mapped_column(primary_key=True)
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    slots: Mapped[int]
    busy: Mapped[int]
    paused_code: Mapped[str | None]
    paused_at: Mapped[datetime | None]
    deaf_at: Mapped[datetime | None]


class SweepRow(Base):
    """How an organisation's sweeps stand."""

    __tablename__ = "sweeps"
    __table_args__ = ({"schema": "app"},)
    org_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"), primary_key=True)
    requested_at: Mapped[datetime | None]
    rung_at: Mapped[datetime | None]
    claimed_at: Mapped[datetime | None]
    leased_until: Mapped[datetime | None]
    begun_at: Mapped[datetime | None]
    reached_key: Mapped[str] = mapped_column(server_default="")
    checked_key: Mapped[str] = mapped_column(server_default="")
    swept_at: Mapped[datetime | None]


class StorageFinding(Base):
    """What a sweep found, until another one sees it no more."""

    __tablename__ = "storage_findings"
    __table_args__ = (
        Index(
            "storage_findings_open",
            "org_id",
            "object_key",
            "code",
            unique=True,
            postgresql_where=text("resolved_at IS NULL"),
        ),
        Index("storage_findings_org_id", "org_id", "last_seen_at"),
        {"schema": "app"},
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    org_id: Mapped[UUID] = org_id_column()
    upload_id: Mapped[UUID | None]
    object_key: Mapped[str]
    code: Mapped[str]
    action: Mapped[str]
    first_seen_at: Mapped[datetime] = now()
    last_seen_at: Mapped[datetime] = now()
    resolved_at: Mapped[datetime | None]


class ErasureRow(Base):
    """A call whose recording is to be erased, or was."""

    __tablename__ = "erasures"
    __table_args__ = (
        UniqueConstraint("org_id", "call_id"),
        of_call(),
        Index("erasures_open", "org_id", "next_attempt_at", postgresql_where=text("erased_at IS NULL")),
        Index("erasures_newest", text("created_at DESC"), "id"),
        {"schema": "app"},
    )
    id: Mapped[UUID] = row_id()
    org_id: Mapped[UUID] = org_id_column()
    call_id: Mapped[UUID]
    cause: Mapped[str]
    reason: Mapped[str]
    created_at: Mapped[datetime] = now()
    next_attempt_at: Mapped[datetime] = now()
    claimed_at: Mapped[datetime | None]
    error_code: Mapped[str | None]
    erased_at: Mapped[datetime | None]
    objects: Mapped[int] = mapped_column(server_default="0")


class RefusedGrantRow(Base):
    """How many doorbells were refused in an hour, by kind."""

    __tablename__ = "refused_grants"
    __table_args__ = ({"schema": "app"},)
    hour: Mapped[datetime] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    refused: Mapped[int] = mapped_column(BigInteger, server_default="1")
    last_at: Mapped[datetime] = now()


class UnclaimedCallRow(Base):
    """A call whose organisation is not known, until an operator says whose it is."""

    __tablename__ = "unclaimed_calls"
    __table_args__ = (UniqueConstraint("provider", "recording_id"), {"schema": "app"})
    id: Mapped[UUID] = row_id()
    provider: Mapped[str]
    provider_call_id: Mapped[str]
    recording_id: Mapped[str]
    source_url: Mapped[str]
    provider_agent_id: Mapped[str | None]
    phone_number: Mapped[str | None]
    why: Mapped[str]
    priority: Mapped[int] = mapped_column(server_default="5")
    direction: Mapped[str | None]
    from_number: Mapped[str | None]
    to_number: Mapped[str | None]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    duration_s: Mapped[int | None]
    deliveries: Mapped[int] = mapped_column(server_default="1")
    received_at: Mapped[datetime] = now()
    last_received_at: Mapped[datetime] = now()
