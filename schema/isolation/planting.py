"""The rows that are planted for an organisation, in every table, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field

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
# The same in both organisations, as a provider's ids may be.
_ASSISTANT = {"provider": "'vapi'", "provider_agent_id": "'assistant'"}
_FAILURE = {**_CALL, "error_code": "'source_gone'", "error_message": "'gone'"}
_URL = "'https://provider.example/unclaimed'"
_UNCLAIMED = {"provider": "'vapi'", "provider_call_id": "'call'", "source_url": _URL, "why": "'agent_unknown'"}
_DOWNLOAD = {**_CALL, "reason": "'a patient asked'"}
_EXPORT = {"org_id": "'{org}'", "reason": "'a patient asked'", "recordings_total": "1"}
_RENDITION = {
    **_CALL,
    "upload_id": "'{completed}'",
    "object_key": "'{org}/recording.mp3'",
    "size_bytes": "1",
    "sha256": "repeat('b', 64)",
    "source_sha256": "repeat('a', 64)",
}
# Of a moment ago, for an announcement counts from the next transaction on.
_TRACE = {
    "org_id": "'{org}'",
    "actor": "session_user",
    "subject_id": "'{integration}'",
    "at": "now() - interval '1 second'",
}
_ANNOUNCED = {**_TRACE, "action": "'integration_announced'"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """``rows``: planted for each organisation. ``example``: one more. ``changes``: harmless ones, by column.

    ``parents``: its references within the organisation, and the row that each example hangs on. ``once``: a second row
    of an organisation is refused by a key. ``is_touched``: the database keeps ``updated_at``.
    """

    name: str
    key: str = "id"
    rows: tuple[Row, ...]
    example: Row
    changes: Mapping[str, str]
    parents: Mapping[str, str] = field(default_factory=dict)
    once: bool = False
    is_touched: bool = False

    @property
    def has_org(self) -> bool:
        return "org_id" in self.example

    @property
    def is_numbered(self) -> bool:
        """Its keys come from a sequence, and nobody may choose them."""
        return self.key == "id" and not self.rows[0]["id"].startswith("'")


TABLES = (
    Table(
        name="public.organizations",
        rows=({"id": "'{org}'", "name": "'Clinic'", "recording_retention_days": "36500"},),
        example={"name": "'Another clinic'"},
        changes={"name": "'Renamed'"},
    ),
    Table(
        name="public.agents",
        is_touched=True,
        rows=({"id": "'{agent}'", "org_id": "'{org}'", "name": "'Ada'", **_ASSISTANT},),
        example={"org_id": "'{org}'", "name": "'Bo'"},
        changes={"name": "'Renamed'"},
    ),
    Table(
        name="public.leads",
        is_touched=True,
        rows=({"id": "'{lead}'", "org_id": "'{org}'", "name": "'Lee'"},),
        example={"org_id": "'{org}'", "name": "'Mia'"},
        changes={"name": "'Renamed'"},
    ),
    Table(
        name="public.knowledge_base",
        is_touched=True,
        rows=({"id": "'{knowledge}'", "org_id": "'{org}'", "filename": "'hours.md'", "content": "'nine to five'"},),
        example={"org_id": "'{org}'", "filename": "'prices.md'", "content": "'none'"},
        changes={"content": "'changed'"},
    ),
    Table(
        name="public.inbound_agent_config",
        is_touched=True,
        # A number of its own, as the agents have none.
        rows=({"id": "'{config}'", "org_id": "'{org}'", "agent_id": "'{agent}'", "phone_number": "'{config}'"},),
        example={"org_id": "'{org}'", "agent_id": "'{agent}'"},
        changes={"greeting": "'changed'"},
        parents={"agent_id": "agent"},
        once=True,
    ),
    Table(
        name="public.integrations",
        is_touched=True,
        rows=({"id": "'{integration}'", "org_id": "'{org}'", "provider": "'vapi'", "sealed_credentials": "'sealed'"},),
        example={"org_id": "'{org}'", "provider": "'twilio'"},
        changes={"provider": "'changed'", "sealed_credentials": "'changed'"},
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
                "recording_status": "'completed'",
                "recording_key": "'{org}/recording.wav'",
                "recording_sha256": "repeat('a', 64)",
            },
            {"id": "'{spare_call}'", "org_id": "'{org}'", "provider": "'https'", "provider_call_id": "'spare'"},
            {
                "id": "'{erased_call}'",
                "org_id": "'{org}'",
                "provider": "'https'",
                "provider_call_id": "'erased'",
                "recording_status": "'erased'",
            },
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
        changes={"reason": "'changed'", "status": "'expired'"},
        parents={"call_id": "call"},
    ),
    Table(
        name="public.recording_exports",
        rows=(
            {**_EXPORT, "id": "'{export}'", "requested_by": "'{user}'"},
            {**_EXPORT, "id": "'{colleagues_export}'", "requested_by": "'{colleague}'"},
        ),
        example={**_EXPORT, "requested_by": "'{user}'"},
        changes={"reason": "'changed'", "status": "'expired'"},
    ),
    Table(
        name="public.recording_renditions",
        rows=({**_RENDITION, "id": "'{rendition}'", "format": "'mp3'"},),
        example={**_RENDITION, "format": "'ogg'"},
        changes={"size_bytes": "2"},
        parents={"call_id": "call", "upload_id": "completed"},
    ),
    Table(
        name="public.audit_log",
        rows=(
            {**_TRACE, "id": "{entry}", "action": "'planted'"},
            {**_ANNOUNCED, "id": "{announced}"},
            {**_ANNOUNCED, "id": "{by_another}", "actor": "'somebody else'"},
            {**_ANNOUNCED, "id": "{stale}", "at": "now() - interval '1 hour'"},
        ),
        example={"org_id": "'{org}'", "actor": "session_user", "action": "'upload_retried'"},
        changes={"reason": "'changed'"},
    ),
    Table(
        name="app.storage_findings",
        rows=(
            {
                "id": "{finding}",
                "org_id": "'{org}'",
                "object_key": "'lost.wav'",
                "code": "'object_missing'",
                "action": "'reported'",
            },
        ),
        example={
            "org_id": "'{org}'",
            "object_key": "'new.wav'",
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
        name="app.erasures",
        rows=(
            {
                "id": "'{erasure}'",
                "org_id": "'{org}'",
                "call_id": "'{erased_call}'",
                "cause": "'requested'",
                "reason": "'a patient asked'",
            },
        ),
        example={"org_id": "'{org}'", "call_id": "'{spare_call}'", "cause": "'retention'", "reason": "'30 days'"},
        changes={"claimed_at": "now()", "reason": "'changed'"},
        parents={"call_id": "spare_call"},
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
        name="app.unclaimed_calls",
        rows=({"id": "'{unclaimed}'", **_UNCLAIMED, "recording_id": "'{unclaimed}'"},),
        example={**_UNCLAIMED, "recording_id": "'{unclaimed}-2'"},
        changes={"deliveries": "2"},
    ),
    Table(
        name="app.grant_keys",
        key="kid",
        rows=({"kid": "'{kid}'", "inner_pad": "'{inner_pad}'", "outer_pad": "'{outer_pad}'"},),
        example={"kid": "'{kid}-2'", "inner_pad": "'{inner_pad}'", "outer_pad": "'{outer_pad}'"},
        changes={"expires_at": "now()"},
    ),
)
