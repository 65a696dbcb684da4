"""What is meant to be: the roles, and the policies and functions that differ from the rule on purpose.

Written by hand, apart from the migrations: a grant that a migration makes by accident is not here, and is named.
"""

from collections.abc import Mapping

from schema.roles import AUTHENTICATOR, CALL_HANDLER, DISPATCHER, LOGINS, OPERATOR, OWNER, WORKER

USER = "authenticated"
ANONYMOUS = "anon"
EVERYBODY = "PUBLIC"

VERIFIER = "recording_grant_verifier"
ENQUEUER = "recording_enqueuer"
ACTIONS = "recording_operator_actions"
REPORTER = "recording_reporter"
REQUESTER = "recording_sweep_requester"
REFUSALS = "recording_refusal_reporter"
INTEGRATOR = "recording_integrator"
ASKER = "recording_download_requester"
ERASER = "recording_eraser"
PLANNER = "recording_retention_planner"
RECEIVER = "recording_call_receiver"

DEFINERS = (VERIFIER, ENQUEUER, ACTIONS, REPORTER, REQUESTER, REFUSALS, INTEGRATOR, ASKER, ERASER, PLANNER, RECEIVER)
"""Own the SECURITY DEFINER functions and nothing else; nobody logs in as one."""

RUNTIME = (*LOGINS, USER, ANONYMOUS)
"""Whom the running system acts as."""

ROLES = (*RUNTIME, *DEFINERS, OWNER)

ADMINISTRATORS = ("postgres", "service_role", "supabase_admin", "dashboard_user")
"""May be granted anything: on Supabase these bypass row-level security anyway. No process of ours runs as one."""

MEMBERSHIPS = frozenset({(USER, AUTHENTICATOR), (ANONYMOUS, AUTHENTICATOR)})
OPTIONAL_MEMBERSHIPS = frozenset({("service_role", AUTHENTICATOR), (CALL_HANDLER, AUTHENTICATOR)})
"""(role, member). Supabase has the first of the optional ones; the second is for an API that enqueues."""

TENANTLESS = (
    "public.organizations",
    "app.grant_keys",
    "app.workers",
    "app.refused_grants",
    "app.unclaimed_calls",
    "app.alembic_version",
)
UNPROTECTED = ("app.alembic_version",)
"""Hold nothing of any organisation, and no runtime role may touch them."""

ORG_MAY_BE_NULL = ("public.audit_log",)
"""Null only where no organisation could be trusted."""

APPEND_ONLY = ("public.audit_log",)

SECRETS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("public.recording_upload_queue", "source_url"): (WORKER,),
    ("public.integrations", "sealed_credentials"): (WORKER, INTEGRATOR),
    ("public.recording_downloads", "url"): (USER,),
    ("app.unclaimed_calls", "source_url"): (RECEIVER,),
    ("app.grant_keys", "inner_pad"): (VERIFIER,),
    ("app.grant_keys", "outer_pad"): (VERIFIER,),
}
"""Who may read the columns that open something."""

DEFINER_FUNCTIONS: Mapping[str, str] = {
    "app.task_org_id": VERIFIER,
    "app.grant_fault": VERIFIER,
    "app.report_refused_grant": REFUSALS,
    "app.report_worker": REPORTER,
    "public.enqueue_recording": ENQUEUER,
    "public.retry_failed_upload": ACTIONS,
    "public.discard_failed_upload": ACTIONS,
    "public.request_storage_sweep": REQUESTER,
    "public.request_recording_download": ASKER,
    "public.request_recording_export": ASKER,
    "app.record_download": ASKER,
    "app.record_export": ASKER,
    "public.revoke_recording_download": ACTIONS,
    "public.set_integration": INTEGRATOR,
    "public.announce_integration": INTEGRATOR,
    "public.announced_integration": INTEGRATOR,
    "public.reseal_integration": INTEGRATOR,
    "public.remove_integration": INTEGRATOR,
    "public.erase_recording": ERASER,
    "public.set_legal_hold": ERASER,
    "app.plan_erasure": ERASER,
    "app.record_erasure": ERASER,
    "app.plan_retention": PLANNER,
    "public.receive_call": RECEIVER,
    "public.assign_unclaimed_call": RECEIVER,
    "public.discard_unclaimed_call": RECEIVER,
}
"""Every function that acts as its owner, and that owner."""

REFERENCES: Mapping[str, str] = {
    "org_id": "public.organizations",
    "call_id": "public.call_logs",
    "upload_id": "public.recording_upload_queue",
    "agent_id": "public.agents",
    "lead_id": "public.leads",
    "export_id": "public.recording_exports",
}
"""Columns of these names are foreign keys wherever they stand, but for those below."""

UNREFERENCED = (("app.storage_findings", "upload_id"),)
"""An object's name may name an upload that never was."""

CONTEXTS = ("request.", "app.task_", "app.enqueue_", "app.named_", "app.actor", "role", "session_replication_role")
"""How settings begin that say for whom one acts: they are for one transaction."""

SETTINGS = ((WORKER, "enable_seqscan", "off"),)
"""On an empty table a sequential scan has nothing to compare a missing grant with: it would be no error."""

# Policies ------------------------------------------------------------------------------------------------------------


def one(function: str) -> str:
    """As the server deparses a call that is made once a statement."""
    return f"( SELECT {function}() AS {function.rpartition('.')[2]})"


BOUND: Mapping[str, str] = {
    USER: "public.auth_org_id",
    WORKER: "app.task_org_id",
    ENQUEUER: "app.enqueue_org_id",
    REQUESTER: "app.named_org_id",
    INTEGRATOR: "app.named_org_id",
    ASKER: "public.auth_org_id",
}
"""Who sees one organisation, and the function that says which: each policy of theirs is that comparison."""

_NAMED = one("app.named_upload_id")
_NAMED_CALL = one("app.named_call_id")
_UNSETTLED = "(status = ANY (ARRAY['pending'::text, 'processing'::text]))"
_ORG_OF_NAMED = f"(org_id = ( SELECT q.org_id FROM public.recording_upload_queue q WHERE (q.id = {_NAMED})))"
_CALL_OF_NAMED = f"(id = ( SELECT q.call_id FROM public.recording_upload_queue q WHERE (q.id = {_NAMED})))"

_IN_PERSON = f"((org_id = {one('public.auth_org_id')}) AND (requested_by = {one('public.auth_user_id')}))"
_SENT = ("requested", "ready", "failed", "expired", "revoked")
_SENDING = ", ".join(f"'{what}_{step}'::text" for what in ("download", "export") for step in _SENT)

POLICIES: Mapping[tuple[str, str, str], str] = {
    # Narrower than the organisation.
    (USER, "public.recording_downloads", "SELECT"): _IN_PERSON,
    (USER, "public.recording_exports", "SELECT"): _IN_PERSON,
    (ASKER, "public.organizations", "SELECT"): f"(id = {one('public.auth_org_id')})",
    (ASKER, "public.recording_downloads", "INSERT"): _IN_PERSON,
    (ASKER, "public.recording_exports", "INSERT"): _IN_PERSON,
    (ASKER, "public.audit_log", "INSERT"): (
        f"((org_id = {one('app.named_org_id')}) AND (actor = SESSION_USER) AND (action = ANY (ARRAY[{_SENDING}])))"
    ),
    (REQUESTER, "public.audit_log", "INSERT"): (
        f"((org_id = {one('app.named_org_id')}) AND (actor = SESSION_USER) AND (action = 'sweep_requested'::text))"
    ),
    (INTEGRATOR, "public.audit_log", "INSERT"): (
        f"((org_id = {one('app.named_org_id')}) AND (actor = SESSION_USER) AND (action = ANY (ARRAY["
        "'integration_set'::text, 'integration_announced'::text, 'integration_resealed'::text, "
        "'integration_removed'::text])))"
    ),
    (INTEGRATOR, "public.audit_log", "SELECT"): (
        f"((org_id = {one('app.named_org_id')}) AND (actor = SESSION_USER) "
        "AND (action = 'integration_announced'::text) AND (at > (now() - '00:05:00'::interval)))"
    ),
    # One upload, whosever it is.
    (ACTIONS, "public.recording_upload_queue", "ALL"): f"(id = {_NAMED})",
    (ACTIONS, "public.failed_recording_uploads", "SELECT"): f"(({_NAMED} = id) OR ({_NAMED} = upload_id))",
    (ACTIONS, "public.failed_recording_uploads", "UPDATE"): f"(upload_id = {_NAMED})",
    (ACTIONS, "public.call_logs", "ALL"): _CALL_OF_NAMED,
    (ACTIONS, "public.recording_downloads", "ALL"): f"(({_NAMED} = id) OR ({_NAMED} = export_id))",
    (ACTIONS, "public.recording_exports", "ALL"): f"(id = {_NAMED})",
    (ACTIONS, "public.audit_log", "INSERT"): (
        f"((subject_id = {_NAMED}) AND (actor = SESSION_USER) "
        "AND (action = ANY (ARRAY['upload_retried'::text, 'upload_discarded'::text])) AND " + _ORG_OF_NAMED + ")"
    ),
    # One call, whosever it is.
    (ERASER, "public.call_logs", "ALL"): f"(id = {_NAMED_CALL})",
    (ERASER, "public.recording_upload_queue", "ALL"): f"(call_id = {_NAMED_CALL})",
    (ERASER, "public.failed_recording_uploads", "ALL"): f"(call_id = {_NAMED_CALL})",
    (ERASER, "public.recording_downloads", "SELECT"): f"(call_id = {_NAMED_CALL})",
    (ERASER, "app.erasures", "ALL"): f"(call_id = {_NAMED_CALL})",
    (ERASER, "public.audit_log", "INSERT"): (
        f"((subject_id = {_NAMED_CALL}) AND (actor = SESSION_USER) AND (action = ANY (ARRAY["
        "'erasure_planned'::text, 'erasure_withdrawn'::text, 'recording_erased'::text, 'legal_hold_set'::text, "
        f"'legal_hold_released'::text])) AND (org_id = ( SELECT c.org_id FROM public.call_logs c "
        f"WHERE (c.id = {_NAMED_CALL}))))"
    ),
    # Every organisation: columns are what limits these roles.
    (PLANNER, "public.organizations", "SELECT"): "(recording_retention_days IS NOT NULL)",
    (PLANNER, "public.call_logs", "SELECT"): "((recording_status = 'completed'::text) AND (NOT legal_hold))",
    (DISPATCHER, "app.erasures", "SELECT"): "true",
    (OPERATOR, "app.erasures", "SELECT"): "true",
    (DISPATCHER, "public.organizations", "SELECT"): "(status = 'active'::text)",
    (DISPATCHER, "public.recording_upload_queue", "SELECT"): _UNSETTLED,
    (DISPATCHER, "public.recording_upload_queue", "UPDATE"): _UNSETTLED,
    (DISPATCHER, "public.recording_downloads", "SELECT"): "true",
    (DISPATCHER, "public.recording_downloads", "UPDATE"): "(status <> 'revoked'::text)",
    (DISPATCHER, "public.recording_exports", "SELECT"): "true",
    (DISPATCHER, "public.recording_exports", "UPDATE"): "(status <> 'revoked'::text)",
    (DISPATCHER, "app.sweeps", "SELECT"): "true",
    (DISPATCHER, "app.sweeps", "INSERT"): "true",
    (DISPATCHER, "app.sweeps", "UPDATE"): "true",
    (OPERATOR, "public.organizations", "SELECT"): "true",
    (OPERATOR, "public.recording_upload_queue", "SELECT"): "true",
    (OPERATOR, "public.failed_recording_uploads", "SELECT"): "true",
    (OPERATOR, "public.recording_upload_metrics", "SELECT"): "true",
    (OPERATOR, "public.integrations", "SELECT"): "true",
    (OPERATOR, "public.audit_log", "SELECT"): "true",
    (OPERATOR, "public.recording_downloads", "SELECT"): "true",
    (OPERATOR, "public.recording_exports", "SELECT"): "true",
    (OPERATOR, "app.sweeps", "SELECT"): "true",
    (OPERATOR, "app.storage_findings", "SELECT"): "true",
    # Whose an agent or a number is; and what nobody claims.
    (RECEIVER, "public.agents", "SELECT"): "true",
    (RECEIVER, "public.inbound_agent_config", "SELECT"): "true",
    (RECEIVER, "app.unclaimed_calls", "ALL"): "true",
    (OPERATOR, "app.unclaimed_calls", "SELECT"): "true",
    (RECEIVER, "public.audit_log", "INSERT"): (
        "((actor = SESSION_USER) AND (((action = 'unclaimed_call_assigned'::text) AND "
        f"(org_id = {one('app.named_org_id')})) OR "
        "((action = 'unclaimed_call_discarded'::text) AND (org_id IS NULL))))"
    ),
    # No organisation's data.
    (VERIFIER, "app.grant_keys", "SELECT"): "true",
    (OPERATOR, "app.workers", "SELECT"): "true",
    (REPORTER, "app.workers", "ALL"): "true",
    (OPERATOR, "app.refused_grants", "SELECT"): "true",
    (REFUSALS, "app.refused_grants", "ALL"): "true",
    (REFUSALS, "public.audit_log", "INSERT"): (
        "((org_id IS NULL) AND (subject_id IS NULL) AND (actor = SESSION_USER) AND (action = 'grant_refused'::text))"
    ),
}
"""(role, table, command): the policies that are not just that comparison, as the server deparses them."""
