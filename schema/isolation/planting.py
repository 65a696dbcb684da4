"""Two organisations with rows in every table, as data: made anew for each run, in a transaction that is rolled back."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import uuid4

from schema.grant_keys import pads

#: Values are SQL; names in braces are ids of the organisation that the row is for.
Row = Mapping[str, str]

_CALL = {"org_id": "'{org}'", "call_id": "'{call}'"}
_UPLOAD = {**_CALL, "provider": "'https'", "source_url": "'https://provider.example/recording.wav'"}
_DONE = {
    "object_key": "'{org}/recording.wav'",
    "size_bytes": "1",
    "sha256": "repeat('a', 64)",
    "completed_at": "now()",
}
_FAILURE = {**_CALL, "error_code": "'source_gone'", "error_message": "'gone'"}
_DOWNLOAD = {**_CALL, "reason": "'a patient asked'"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """``rows``: planted for each organisation. ``example``: one more. ``changes``: harmless ones, by column.

    ``parents``: its references within the organisation, and the row that each example hangs on. ``once``: a second row
    of an organisation is refused by a key.
    """

    name: str
    key: str = "id"
    rows: tuple[Row, ...]
    example: Row
    changes: Mapping[str, str]
    parents: Mapping[str, str] = field(default_factory=dict)
    once: bool = False

    @property
    def has_org(self) -> bool:
        return "org_id" in self.example


TABLES = (
    Table(
        name="public.organizations",
        rows=({"id": "'{org}'", "name": "'Clinic'"},),
        example={"name": "'Another clinic'"},
        changes={"name": "'Renamed'"},
    ),
    Table(
        name="public.agents",
        rows=({"id": "'{agent}'", "org_id": "'{org}'", "name": "'Ada'"},),
        example={"org_id": "'{org}'", "name": "'Bo'"},
        changes={"name": "'Renamed'"},
    ),
    Table(
        name="public.leads",
        rows=({"id": "'{lead}'", "org_id": "'{org}'", "name": "'Lee'"},),
        example={"org_id": "'{org}'", "name": "'Mia'"},
        changes={"name": "'Renamed'"},
    ),
    Table(
        name="public.knowledge_base",
        rows=({"id": "'{knowledge}'", "org_id": "'{org}'", "filename": "'hours.md'", "content": "'nine to five'"},),
        example={"org_id": "'{org}'", "filename": "'prices.md'", "content": "'none'"},
        changes={"content": "'changed'"},
    ),
    Table(
        name="public.inbound_agent_config",
        rows=({"id": "'{config}'", "org_id": "'{org}'", "agent_id": "'{agent}'"},),
        example={"org_id": "'{org}'", "agent_id": "'{agent}'"},
        changes={"greeting": "'changed'"},
        parents={"agent_id": "agent"},
        once=True,
    ),
    Table(
        name="public.integrations",
        rows=({"id": "'{integration}'", "org_id": "'{org}'", "provider": "'vapi'", "sealed_credentials": "'sealed'"},),
        example={"org_id": "'{org}'", "provider": "'twilio'"},
        changes={"provider": "'changed'"},
    ),
    Table(
        name="public.call_logs",
        rows=(
            {
                "id": "'{call}'",
                "org_id": "'{org}'",
                "provider": "'https'",
                "provider_call_id": "'call'",
                "agent_id": "'{agent}'",
                "lead_id": "'{lead}'",
            },
            {"id": "'{spare_call}'", "org_id": "'{org}'", "provider": "'https'", "provider_call_id": "'spare'"},
        ),
        example={"org_id": "'{org}'", "provider": "'https'", "provider_call_id": "'new'"},
        changes={"recording_status": "'pending'", "transcript": "'changed'"},
        parents={"agent_id": "agent", "lead_id": "lead"},
    ),
    Table(
        name="public.recording_upload_queue",
        rows=(
            {**_UPLOAD, "id": "'{pending}'", "recording_id": "'pending'"},
            {
                **_UPLOAD,
                "id": "'{processing}'",
                "recording_id": "'processing'",
                "status": "'processing'",
                "lease_expires_at": "now()",
            },
            {**_UPLOAD, **_DONE, "id": "'{completed}'", "recording_id": "'completed'", "status": "'completed'"},
            {
                **_UPLOAD,
                "id": "'{failed}'",
                "recording_id": "'failed'",
                "status": "'failed'",
                "error_code": "'source_gone'",
            },
        ),
        example={**_UPLOAD, "recording_id": "'new'"},
        changes={
            "content_type": "'audio/wav'",
            "dispatched_until": "now()",
            "source_url": "'https://evil.example/'",
            "next_attempt_at": "now()",
        },
        parents={"call_id": "call"},
    ),
    Table(
        name="public.failed_recording_uploads",
        rows=(
            {**_FAILURE, "id": "'{failure}'", "upload_id": "'{failed}'"},
            {
                **_FAILURE,
                "id": "'{recovered}'",
                "upload_id": "'{completed}'",
                "resolved_at": "now()",
                "resolution": "'recovered'",
            },
        ),
        example={**_FAILURE, "upload_id": "'{processing}'"},
        changes={"error_code": "'changed'", "next_retry_at": "now()"},
        parents={"call_id": "call", "upload_id": "processing"},
    ),
    Table(
        name="public.recording_upload_metrics",
        rows=({**_CALL, "id": "{metric}", "upload_id": "'{completed}'", "attempt": "1", "outcome": "'completed'"},),
        example={**_CALL, "upload_id": "'{completed}'", "attempt": "2", "outcome": "'snoozed'"},
        changes={"worker": "'changed'"},
        parents={"call_id": "call", "upload_id": "completed"},
    ),
    Table(
        name="public.recording_downloads",
        rows=(
            {**_DOWNLOAD, "id": "'{download}'", "requested_by": "'{user}'"},
            {**_DOWNLOAD, "id": "'{colleagues}'", "requested_by": "'{colleague}'"},
        ),
        example={**_DOWNLOAD, "requested_by": "'{user}'"},
        changes={"reason": "'changed'"},
        parents={"call_id": "call"},
    ),
    Table(
        name="public.audit_log",
        rows=({"id": "{entry}", "org_id": "'{org}'", "actor": "'isolation'", "action": "'planted'"},),
        example={"org_id": "'{org}'", "actor": "session_user", "action": "'upload_retried'"},
        changes={"reason": "'changed'"},
    ),
    Table(
        name="app.storage_findings",
        rows=(
            {
                "id": "{finding}",
                "org_id": "'{org}'",
                "object_key": "'{org}/lost.wav'",
                "code": "'object_missing'",
                "action": "'reported'",
            },
        ),
        example={
            "org_id": "'{org}'",
            "object_key": "'{org}/new.wav'",
            "code": "'object_missing'",
            "action": "'reported'",
        },
        changes={"last_seen_at": "now()"},
    ),
    Table(
        name="app.sweeps",
        key="org_id",
        rows=({"org_id": "'{org}'"},),
        example={"org_id": "'{org}'"},
        changes={"claimed_at": "now()", "rung_at": "now()", "requested_at": "now()"},
        once=True,
    ),
    Table(
        name="app.workers",
        key="name",
        rows=({"name": "'{worker}'", "started_at": "now()", "seen_at": "now()", "slots": "1", "busy": "0"},),
        example={"name": "'{worker}-2'", "started_at": "now()", "seen_at": "now()", "slots": "1", "busy": "0"},
        changes={"busy": "1"},
    ),
    Table(
        name="app.refused_grants",
        key="hour::text",
        rows=({"hour": "'{hour}'", "kind": "'forged'"},),
        example={"hour": "'{hour}'", "kind": "'late'"},
        changes={"refused": "2"},
    ),
    Table(
        name="app.grant_keys",
        key="kid",
        rows=({"kid": "'{kid}'", "inner_pad": "'{inner_pad}'", "outer_pad": "'{outer_pad}'"},),
        example={"kid": "'{kid}-2'", "inner_pad": "'{inner_pad}'", "outer_pad": "'{outer_pad}'"},
        changes={"expires_at": "now()"},
    ),
)

_UUIDS = (
    *("org", "user", "colleague", "agent", "lead", "knowledge", "config", "integration", "call", "spare_call"),
    *("pending", "processing", "completed", "failed", "failure", "recovered", "download", "colleagues"),
)
_NUMBERS = ("metric", "entry", "finding")


@dataclass(frozen=True, slots=True)
class Organisation:
    """The ids of everything that is planted for it, chosen before anything is asked of the database."""

    ids: Mapping[str, str]
    secret: bytes = field(repr=False)

    @classmethod
    def new(cls) -> "Organisation":
        secret = secrets.token_bytes(32)
        inner, outer = pads(secret)
        tag = secrets.token_hex(6)
        ids = {name: str(uuid4()) for name in _UUIDS}
        # Below zero: no sequence is used up, and no row of a deployment is met.
        ids |= {name: str(-secrets.randbits(62) - 1) for name in _NUMBERS}
        ids |= {"worker": f"isolation-{tag}", "kid": f"isolation-{tag}"}
        ids |= {"inner_pad": f"\\x{inner.hex()}", "outer_pad": f"\\x{outer.hex()}"}
        ids["hour"] = (
            f"{1000 + secrets.randbelow(900)}-01-01 {secrets.randbelow(24):02}:{secrets.randbelow(60):02}:00+00"
        )
        return cls(ids, secret)

    def fill(self, sql: str) -> str:
        return sql.format_map(self.ids)

    def insert(self, table: str, row: Row) -> str:
        values = self.fill(", ".join(row.values()))
        return f"INSERT INTO {table} ({', '.join(row)}) VALUES ({values})"

    def keys(self, table: Table) -> tuple[str, ...]:
        """Of the rows that are planted, as the database shows them."""
        column = table.key.partition(":")[0]
        return tuple(self.fill(row[column]).strip("'") for row in table.rows)


@dataclass(frozen=True, slots=True)
class Cast:
    """Whose rows are planted: an organisation, another, and what belongs to neither."""

    own: Organisation = field(default_factory=Organisation.new)
    other: Organisation = field(default_factory=Organisation.new)
    suspended: str = field(default_factory=lambda: str(uuid4()))
    unowned: str = field(default_factory=lambda: str(-secrets.randbits(62) - 1))
    retired: Organisation = field(default_factory=Organisation.new)
    schema: str = field(default_factory=lambda: f"isolation_{secrets.token_hex(6)}")

    def sql(self) -> str:
        """Everything, in one go."""
        rows = [org.insert(table.name, row) for table in TABLES for row in table.rows for org in (self.own, self.other)]
        key = next(table for table in TABLES if table.name == "app.grant_keys")
        rows += [
            f"INSERT INTO public.organizations (id, name, status) VALUES ('{self.suspended}', 'Shut', 'suspended')",
            (
                "INSERT INTO public.audit_log (id, org_id, actor, action) "
                f"VALUES ({self.unowned}, NULL, 'isolation', 'planted')"
            ),
            self.retired.insert(key.name, {**key.rows[0], "expires_at": "now() - interval '1 second'"}),
        ]
        return ";\n".join(rows).replace(") VALUES (", ") OVERRIDING SYSTEM VALUE VALUES (")

    def rest(self, table: str) -> tuple[str, ...]:
        """Keys of planted rows that belong to neither."""
        return {
            "public.organizations": (self.suspended,),
            "public.audit_log": (self.unowned,),
            "app.grant_keys": (self.retired.ids["kid"],),
        }.get(table, ())
