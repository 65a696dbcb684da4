"""What comes of a call that names an agent or a number, and of what an operator does with one that nobody claims."""

from schema.isolation.effects import Effect
from schema.isolation.functions import CALLS
from schema.isolation.outcome import DENIED, NOTHING, Outcome, Refused, Rows

_OWN, _OTHER = Rows(own=1), Rows(other=1)
_MISTAKE = Refused("22023")
_QUEUE, _TRAIL = "public.recording_upload_queue", "public.audit_log"
_OUTSIDE = "; SELECT set_config('role', 'none', true); SELECT '{own_org}'::uuid "
_READ_ON = "; SELECT source_url FROM app.unclaimed_calls"

# By the call handler -------------------------------------------------------------------------------------------------

_RECEIVE = "SELECT FROM public.receive_call('vapi', 'c', 'https://provider.example/moved', %s)"
_MOVED = "source_url = 'https://provider.example/moved'"
_KEPT = _OUTSIDE + f"FROM app.unclaimed_calls WHERE recording_id = 'c' AND {_MOVED} AND why = '%s'"
# What the administrator has done before: agents alike are planted for both, and this one is not.
_BEFORE = "SELECT set_config('role', 'none', true); %s; SELECT set_config('role', 'call_handler', true); "
_HERS = _BEFORE % "UPDATE public.agents SET provider_agent_id = 'her own' WHERE id = '{own_agent}'"
_SHUT = _BEFORE % "UPDATE public.inbound_agent_config SET is_active = false WHERE id = '{own_config}'"


def _receive(name: str, named: str, expected: Outcome, before: str = "") -> Effect:
    return Effect("public.receive_call", name, before + _RECEIVE % named, expected, _QUEUE, _MOVED)


def _keep(name: str, named: str, why: str, before: str = "") -> tuple[Effect, Effect]:
    kept = Effect("public.receive_call", f"{name}, and it is kept", before + _RECEIVE % named + _KEPT % why, _OWN)
    return _receive(name, named, NOTHING, before), kept


_BY_CALL_HANDLER = (
    _receive("call by a number", "NULL, '{own_config}'", _OWN),
    _receive("call by the other's number", "NULL, '{other_config}'", _OTHER),
    _receive("call by an agent", "'her own'", _OWN, _HERS),
    _receive("call by an agent and its number", "'her own', '{own_config}'", _OWN, _HERS),
    *_keep("call by an agent of two", "'assistant'", "agent_ambiguous"),
    *_keep("call by an agent of two and a number", "'assistant', '{own_config}'", "agent_ambiguous"),
    *_keep("call by an agent and another's number", "'her own', '{other_config}'", "agent_and_number_differ", _HERS),
    *_keep("call by an agent that nobody knows", "'nobody', '{own_config}'", "agent_unknown"),
    *_keep("call by a number that nobody knows", "NULL, 'nobody'", "number_unknown"),
    *_keep("call by a number out of use", "NULL, '{own_config}'", "number_unknown", _SHUT),
    *_keep("call that names nothing", "NULL", "nothing_named"),
    Effect("public.receive_call", "SELECT after the call", f"SELECT {CALLS['public.receive_call']}{_READ_ON}", DENIED),
)

# By operators --------------------------------------------------------------------------------------------------------

_ASSIGN = f"SELECT {CALLS['public.assign_unclaimed_call']}"
_DISCARD = f"SELECT {CALLS['public.discard_unclaimed_call']}"
_PLANTED = "source_url = 'https://provider.example/unclaimed'"
_GONE = _OUTSIDE + "WHERE NOT EXISTS (SELECT FROM app.unclaimed_calls WHERE id = '{own_unclaimed}')"
_TRACED = _OUTSIDE + (
    "FROM public.audit_log WHERE subject_id = '{own_unclaimed}' AND org_id IS NULL "
    "AND action = 'unclaimed_call_discarded' AND reason = 'r'"
)


def _assign(name: str, expected: Outcome, table: str = "", where: str = "", statement: str = _ASSIGN) -> Effect:
    return Effect("public.assign_unclaimed_call", name, statement, expected, table, where)


def _discard(name: str, expected: Outcome, statement: str) -> Effect:
    return Effect("public.discard_unclaimed_call", name, statement, expected)


_BY_OPERATOR = (
    _assign("call", _OWN, _QUEUE, _PLANTED),
    _assign("call for the other", _OTHER, _QUEUE, _PLANTED, _ASSIGN.replace("own_org", "other_org")),
    _assign("call, and its trace", _OWN, _TRAIL, "action = 'unclaimed_call_assigned'"),
    _assign("call, and it is kept no longer", _OWN, statement=_ASSIGN + _GONE),
    _assign("call without a reason", _MISTAKE, statement=_ASSIGN.replace("'r')", "' ')")),
    _assign("SELECT after the call", DENIED, statement=_ASSIGN + _READ_ON),
    _discard("call, and it is kept no longer", _OWN, _DISCARD + _GONE),
    _discard("call, and its trace", _OWN, _DISCARD + _TRACED),
    _discard("call without a reason", _MISTAKE, _DISCARD.replace("'r')", "' ')")),
)

RECEIVED = (*_BY_CALL_HANDLER, *_BY_OPERATOR)
