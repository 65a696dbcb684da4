"""Who may do what: the statement that the matrix holds the database to. Written by hand, never read from the catalog.

Which privileges a role holds on which columns stands in ``schema/lints/grants.py``; here is whose rows they reach, what
a role has to show for it, and why it may do no more.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from schema import roles as logins
from schema.lints import declared as roles
from schema.lints import grants

#: own: the organisation that the context proves; every: all of them; none: row-level security shows and takes no row.
Scope = Literal["own", "every", "none"]

#: Under which setting a role says for whom it acts.
CLAIMS = "request.jwt.claims"
GRANT = "app.task_grant"
MEMO = "app.task_memo"
MEMO_PROOF = "app.task_memo_proof"
ENQUEUED = "app.enqueue_org_id"
NAMED_UPLOAD = "app.named_upload_id"
NAMED_ORG = "app.named_org_id"
NAMED_CALL = "app.named_call_id"
PROOFS = (CLAIMS, GRANT, MEMO, MEMO_PROOF, ENQUEUED, NAMED_UPLOAD, NAMED_ORG, NAMED_CALL)

_ERASURE = {"org_id": "'{org}'", "cause": "'requested'", "reason": "'r'"}
_PRIVILEGE = re.compile(r"(\w+)(?:\(([^)]*)\))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How far a role's privileges on a table reach, where that differs from the role's ``scope``."""

    scope: Scope = "own"
    #: Rows of an organisation that it sees, where it is not all that are planted.
    sees: int | None = None
    #: Whether it also sees what belongs to neither: a suspended organisation, an audit row of no organisation.
    rest: bool = True
    #: Whether row-level security compares the parent and not the organisation, which the parent's key holds.
    by_parent: bool = False
    #: The row that it may insert, where that differs from the table's own example.
    row: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """``why``: in one line, why it may do no more. ``becomes``: the roles that it can take on."""

    name: str
    why: str
    proof: str = ""
    scope: Scope = "own"
    reaches: Mapping[str, Reach] = field(default_factory=dict)
    becomes: tuple[str, ...] = ()

    def reach(self, table: str) -> Reach:
        return self.reaches.get(table, Reach(scope=self.scope))

    def right(self, table: str) -> "Right":
        if self.name == logins.OWNER:
            return Right(dict.fromkeys(("SELECT", "INSERT", "UPDATE", "DELETE"), ()))
        declared = grants.TABLES.get(self.name, {}).get(table, "")
        return Right({verb: tuple(columns.split()) for verb, columns in _PRIVILEGE.findall(declared)})


@dataclass(frozen=True, slots=True)
class Right:
    """What a role may do with one table: columns by privilege, none of them named where it is the whole table."""

    columns: Mapping[str, tuple[str, ...]]

    def __bool__(self) -> bool:
        return bool(self.columns)

    def may(self, privilege: str, *columns: str) -> bool:
        granted = self.columns.get(privilege)
        return granted is not None and (not granted or set(columns) <= set(granted))

    def names(self) -> frozenset[str]:
        """As ``SELECT`` and ``UPDATE(status)``."""
        held = ((verb, column) for verb, columns in self.columns.items() for column in columns or ("",))
        return frozenset(f"{verb}({column})" if column else verb for verb, column in held)


ROLES = (
    Role(
        name=roles.USER,
        proof=CLAIMS,
        why="a user reads their own organisation, and edits agents, leads, knowledge and the inbound agent only",
        # A link is for the one who asked for it.
        reaches={"public.recording_downloads": Reach(sees=1), "public.recording_exports": Reach(sees=1)},
    ),
    Role(name=roles.ANONYMOUS, why="who is not signed in has no business with any table"),
    Role(
        name=logins.AUTHENTICATOR,
        why="the API's login can do nothing before it has become authenticated or anon",
        becomes=(roles.ANONYMOUS, roles.USER),
    ),
    Role(
        name=logins.WORKER,
        proof=GRANT,
        why="a worker copies recordings of the organisation in its grant, and needs nothing else",
    ),
    Role(
        name=logins.DISPATCHER,
        scope="every",
        why="the dispatcher sees when rows are due and for whom: no URL, no call, no result",
        reaches={
            "public.organizations": Reach(scope="every", rest=False),  # the active ones
            "public.recording_upload_queue": Reach(scope="every", sees=2),  # what is not settled
        },
    ),
    Role(
        name=logins.OPERATOR,
        scope="every",
        why="an operator reads failures of every organisation, no URL and no call, and changes by audited functions",
    ),
    Role(
        name=logins.CALL_HANDLER,
        why="a call handler may call enqueue_recording() and receive_call(), and reads nothing",
    ),
    Role(
        name=roles.ENQUEUER,
        proof=ENQUEUED,
        why="the owner of enqueue_recording() inserts for the organisation that the call names, and reads no result",
    ),
    Role(
        name=roles.ACTIONS,
        proof=NAMED_UPLOAD,
        why="the owner of retry and discard touches the one upload that the call names",
        reaches={
            "public.recording_upload_queue": Reach(sees=1),
            "public.failed_recording_uploads": Reach(sees=1),
            "public.call_logs": Reach(sees=1),
            "public.recording_downloads": Reach(sees=0),  # it may, of the one that revoke names
            "public.recording_exports": Reach(sees=0),
            "public.audit_log": Reach(
                row={
                    "org_id": "'{org}'",
                    "actor": "session_user",
                    "action": "'upload_retried'",
                    "subject_id": "'{failed}'",
                }
            ),
        },
    ),
    Role(
        name=roles.REQUESTER,
        proof=NAMED_ORG,
        why="the owner of request_storage_sweep() asks for the organisation that the call names",
        reaches={
            "public.audit_log": Reach(row={"org_id": "'{org}'", "actor": "session_user", "action": "'sweep_requested'"})
        },
    ),
    Role(
        name=roles.REPORTER,
        scope="every",
        why="the owner of report_worker() has the workers' own lines, which hold nothing of an organisation",
    ),
    Role(
        name=roles.REFUSALS,
        scope="every",
        why="the owner of report_refused_grant() counts refusals, and writes of no organisation",
        reaches={
            "public.audit_log": Reach(
                scope="every", row={"actor": "session_user", "action": "'grant_refused'", "detail": "'{{}}'"}
            )
        },
    ),
    Role(
        name=roles.INTEGRATOR,
        proof=NAMED_ORG,
        why="the owner of set_integration() and the like keeps credentials of the organisation that the call names",
        reaches={
            "public.audit_log": Reach(
                sees=1, row={"org_id": "'{org}'", "actor": "session_user", "action": "'integration_announced'"}
            )
        },
    ),
    Role(
        name=roles.ASKER,
        proof=CLAIMS,
        why="the owner of request_recording_download() and _export() sees what the user sees, and asks in their name",
        reaches={
            "public.organizations": Reach(rest=False),
            "public.audit_log": Reach(scope="none"),  # the trigger names the organisation
        },
    ),
    Role(
        name=roles.ERASER,
        proof=NAMED_CALL,
        why="the owner of erase_recording() and set_legal_hold() touches the one call that the call names",
        reaches={
            "public.call_logs": Reach(sees=1),
            "app.erasures": Reach(sees=0, by_parent=True, row={**_ERASURE, "call_id": "'{call}'"}),
            "public.audit_log": Reach(
                row={
                    "org_id": "'{org}'",
                    "actor": "session_user",
                    "action": "'erasure_planned'",
                    "subject_id": "'{call}'",
                }
            ),
        },
    ),
    Role(
        name=roles.PLANNER,
        scope="every",
        why="the owner of plan_retention() sees which calls' time is over: no number, no word, nothing to change",
        reaches={
            "public.organizations": Reach(scope="every", rest=False),  # those that do not keep without end
            "public.call_logs": Reach(scope="every", sees=1),  # what is stored, and not held
        },
    ),
    Role(
        name=roles.RECEIVER,
        scope="every",
        why="the owner of receive_call() sees whose agents and numbers are, and has the calls that nobody claims",
        reaches={
            "public.audit_log": Reach(
                scope="every", row={"actor": "session_user", "action": "'unclaimed_call_discarded'", "detail": "'{{}}'"}
            )
        },
    ),
    Role(
        name=roles.VERIFIER,
        scope="every",
        why="the owner of task_org_id() reads keys of grants, and no row of any organisation",
    ),
    Role(
        name=logins.OWNER,
        scope="none",
        why="row-level security is forced on the owner of the tables, and no policy names it",
        becomes=(),
    ),
    Role(name="stranger", why="a role that nobody granted anything: what PUBLIC may do"),
)
"""The administrator is not among them: row-level security does not bind it, triggers and keys do (``attacks.py``)."""
