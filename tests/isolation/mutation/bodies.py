"""The functions on which isolation rests, each with a line missing or wrong."""

from collections.abc import Iterator, Mapping
from typing import Any

import psycopg

from tests.isolation.mutation.mutant import Mutant

_CLAIMS = "current_setting('request.jwt.claims', true)::jsonb"
_STRING = "RETURN CASE WHEN jsonb_typeof(claim) = 'string' THEN (claim #>> '{}')::uuid END;"

_PROVED = """sha256(convert_to(current_setting('app.task_memo_proof', true), 'UTF8')) = sha256(convert_to(encode(
            sha256(outer_pad || sha256(inner_pad || convert_to('memo:' || memo || ' ' || token, 'UTF8'))),
            'base64'), 'UTF8'))"""

WEAKER: Mapping[str, tuple[tuple[str, str, str | None], ...]] = {
    "public.auth_org_id": (
        ("reads user_metadata", "'{app_metadata,org_id}'", "'{user_metadata,org_id}'"),
        (
            "falls back to user_metadata",
            f"{_CLAIMS} #> '{{app_metadata,org_id}}'",
            f"coalesce({_CLAIMS} #> '{{app_metadata,org_id}}', {_CLAIMS} #> '{{user_metadata,org_id}}')",
        ),
        (
            "falls back to a claim of the token itself",
            f"{_CLAIMS} #> '{{app_metadata,org_id}}'",
            f"coalesce({_CLAIMS} #> '{{app_metadata,org_id}}', {_CLAIMS} #> '{{org_id}}')",
        ),
        ("takes the first of a list", _STRING, f"claim := coalesce(claim -> 0, claim); {_STRING}"),
    ),
    "public.auth_user_id": (
        ("reads user_metadata", "#> '{sub}'", "#> '{user_metadata,sub}'"),
        (
            "falls back to user_metadata",
            f"{_CLAIMS} #> '{{sub}}'",
            f"coalesce({_CLAIMS} #> '{{sub}}', {_CLAIMS} #> '{{user_metadata,sub}}')",
        ),
        ("takes the first of a list", _STRING, f"claim := coalesce(claim -> 0, claim); {_STRING}"),
    ),
    "app.task_org_id": (
        (
            "any signature",
            "AND sha256(convert_to(signature, 'UTF8')) = sha256(convert_to(parts[3], 'UTF8'))",
            "",
        ),
        ("a key that has expired", " AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())", ""),
        (
            "a key that is not named",
            "WHERE k.kid = key_named AND",
            "WHERE k.kid = coalesce(key_named, k.kid) AND",
        ),
        ("any algorithm", "header ->> 'alg' = 'HS256'", "true"),
        ("any audience", "claims ->> 'aud' = 'recording-worker' AND jsonb_typeof(claims -> 'aud') = 'string'", "true"),
        (
            "one audience of several",
            "claims ->> 'aud' = 'recording-worker' AND jsonb_typeof(claims -> 'aud') = 'string'",
            "claims -> 'aud' @> '\"recording-worker\"'",
        ),
        ("expired", "AND (claims ->> 'exp')::double precision > now_s", ""),
        (
            "without an end",
            "AND (claims ->> 'exp')::double precision > now_s",
            "AND coalesce((claims ->> 'exp')::double precision > now_s, true)",
        ),
        ("from the future", "AND (claims ->> 'iat')::double precision <= now_s + 60", ""),
        ("without a subject", "claims ->> 'sub' <> '' AND", ""),
        ("without an id", "AND claims ->> 'jti' <> ''", ""),
        ("no error", "RAISE EXCEPTION 'no valid task grant' USING", "RETURN NULL; RAISE EXCEPTION 'never' USING"),
        ("any memo", f"IF {_PROVED}", "IF true"),
        ("a memo of any grant", _PROVED, _PROVED.replace("memo || ' ' || token", "memo || ' '")),
        ("a memo of any organisation", _PROVED, _PROVED.replace("memo || ' ' || token", "' ' || token")),
        (
            "a memo that ends never",
            "split_part(memo, ' ', 2)::double precision > extract(epoch FROM clock_timestamp())",
            "true",
        ),
        ("a memo by a key that has expired", " AND (m.expires_at IS NULL OR m.expires_at > clock_timestamp())", ""),
    ),
    "app.grant_fault": (("finds no fault", "fault := CASE WHEN token = ''", "RETURN; fault := CASE WHEN token = ''"),),
    "app.report_refused_grant": (("leaves no trace", "INSERT INTO public.audit_log", None),),
    "public.enqueue_recording": (("names no organisation", "PERFORM set_config('app.enqueue_org_id'", None),),
    "app.whose_call": (
        ("guesses between two agents", "WHEN cardinality(by_agent) > 1 THEN 'agent_ambiguous'", "WHEN false THEN NULL"),
        ("lets a number contradict the agent", "WHEN NOT by_agent <@ by_number THEN", "WHEN false THEN"),
        (
            "lets a number speak for an unknown agent",
            "WHEN whose_call.provider_agent_id IS NOT NULL AND by_agent IS NULL THEN",
            "WHEN false THEN",
        ),
        ("takes a number out of use", "whose_call.phone_number AND c.is_active", "whose_call.phone_number"),
    ),
    "public.receive_call": (("keeps nothing", "INSERT INTO app.unclaimed_calls", None),),
    "public.assign_unclaimed_call": (("leaves no trace", "PERFORM app.note_unclaimed(", None),),
    "public.discard_unclaimed_call": (("leaves no trace", "PERFORM app.note_unclaimed(", None),),
    "app.note_unclaimed": (
        ("needs no reason", "IF coalesce(note_unclaimed.reason, '') !~ '\\S' OR", "IF"),
        ("leaves no trace", "INSERT INTO public.audit_log", None),
    ),
    "public.retry_failed_upload": (("leaves no trace", "PERFORM app.note_upload_action(", None),),
    "public.discard_failed_upload": (("leaves no trace", "PERFORM app.note_upload_action(", None),),
    "app.take_failed_upload": (("needs no reason", "WHEN coalesce(reason, '') !~ '\\S' THEN", "WHEN false THEN"),),
    "public.request_storage_sweep": (
        ("needs no reason", "IF btrim(coalesce(request_storage_sweep.reason, '')) = '' OR", "IF"),
        ("leaves no trace", "INSERT INTO public.audit_log", None),
        ("takes a suspended organisation", "IF status IS DISTINCT FROM 'active' THEN", "IF status IS NULL THEN"),
    ),
    "public.set_integration": (
        ("leaves no trace", "PERFORM app.note_integration(", None),
        ("takes a plain secret", "PERFORM app.refuse_unsealed(", None),
    ),
    "public.announce_integration": (("leaves no trace", "PERFORM app.note_integration(", None),),
    "public.announced_integration": (("believes what is not committed", " AND a.at < now()", ""),),
    "public.reseal_integration": (
        ("leaves no trace", "PERFORM app.note_integration(", None),
        ("takes a plain secret", "PERFORM app.refuse_unsealed(", None),
        (
            "overwrites what is newer",
            "ELSIF before.sealed_credentials IS DISTINCT FROM reseal_integration.replaces THEN",
            "ELSIF false THEN",
        ),
    ),
    "public.remove_integration": (("leaves no trace", "PERFORM app.note_integration(", None),),
    "app.name_integration": (
        ("needs no reason", "IF coalesce(name_integration.reason, '') !~ '\\S' OR", "IF"),
        ("names no organisation", "PERFORM set_config('app.named_org_id'", None),
    ),
    "app.refuse_unsealed": (("refuses nothing", "RAISE EXCEPTION", "RETURN; RAISE EXCEPTION"),),
    "app.take_request": (
        ("needs no reason", "ELSIF reason_kept = '' OR length", "ELSIF length"),
        (
            "takes a suspended organisation",
            "ELSIF NOT EXISTS (SELECT FROM public.organizations AS o WHERE o.status = 'active') THEN",
            "ELSIF false THEN",
        ),
    ),
    "app.refuse_unstored": (
        ("finds what is not there", "WHEN NOT is_found THEN", "WHEN false THEN"),
        ("hands out what is not stored", "WHEN status IS DISTINCT FROM 'completed' THEN", "WHEN false THEN"),
    ),
    "public.request_recording_download": (("refuses nothing", "PERFORM app.refuse_unstored(", None),),
    "public.request_recording_export": (
        ("refuses nothing", "PERFORM app.refuse_unstored(", None),
        ("writes no recording down", "INSERT INTO public.recording_downloads", None),
    ),
    "app.calls_found": (
        (
            "takes any filter",
            "OR filter - ARRAY['started_from', 'started_before', 'agent_id', 'lead_id', 'direction'] <> '{}' THEN",
            "THEN",
        ),
    ),
    "app.record_download": (("leaves no trace", "INSERT INTO public.audit_log", None),),
    "app.record_export": (("leaves no trace", "INSERT INTO public.audit_log", None),),
    "app.blank_link": (("leaves the link", "NEW.url := NULL;", ""),),
    "public.revoke_recording_download": (
        ("needs no reason", "IF coalesce(revoke_recording_download.reason, '') !~ '\\S' OR", "IF"),
        ("revokes nothing", "UPDATE public.recording_downloads AS d SET status = 'revoked'", None),
        ("revokes no export", "UPDATE public.recording_exports AS e SET status = 'revoked'", None),
    ),
    "app.plan_erasure": (
        ("erases what is held", "WHEN call.is_held THEN RETURN 'on_legal_hold';", ""),
        ("erases under a running upload", "WHEN call.is_running THEN RETURN 'already_running';", ""),
        (
            "leaves the URL",
            "source_url = 'https://erased.invalid/', dispatched_until = NULL",
            "dispatched_until = NULL",
        ),
        ("leaves the links", "PERFORM public.revoke_recording_download(", None),
        ("leaves the call", "UPDATE public.call_logs AS c SET recording_status = 'erased'", None),
        ("leaves no trace", "PERFORM app.note_call_action(", None),
    ),
    "app.take_call": (
        ("needs no reason", "WHEN coalesce(reason, '') !~ '\\S' THEN", "WHEN false THEN"),
        ("sees no running upload", "q.status = 'processing' OR ", ""),
    ),
    "public.set_legal_hold": (
        ("withdraws nothing", "DELETE FROM app.erasures AS e", None),
        ("leaves no trace", "PERFORM app.note_call_action(CASE", None),
    ),
    "app.plan_retention": (("plans nothing", "IF app.plan_erasure(", "IF false AND app.plan_erasure("),),
    "app.record_erasure": (("leaves no receipt", "PERFORM app.note_call_action(", None),),
    "app.keep_erased_upload": (("keeps nothing", "RETURN NULL", "RETURN NEW"),),
    "app.keep_erased_call": (("keeps nothing", "NEW.recording_status := 'erased';", ""),),
    "app.refuse_erased_call": (("refuses nothing", "IF EXISTS (", "IF false AND EXISTS ("),),
    "app.refuse_erased_rendition": (("refuses nothing", "IF EXISTS (", "IF false AND EXISTS ("),),
    "app.refuse_org_change": (("refuses nothing", "RAISE EXCEPTION", "RETURN NEW; RAISE EXCEPTION"),),
    "app.refuse_change": (("refuses nothing", "RAISE EXCEPTION", "RETURN coalesce(NEW, OLD); RAISE EXCEPTION"),),
    "app.touch_updated_at": (("touches nothing", "NEW.updated_at := pg_catalog.now();", ""),),
}
"""By function: what is wrong with it, which text of it is replaced, and by what. Without a replacement the statement
that begins so is cut out.

Not made, for they change nothing: a type check before the cast to uuid (no JSON but a string casts), the organisation
in a WHERE of enqueue_recording (its role's policies say the same), the actor of an audit row (the policy says it too).
"""

PLAIN: Mapping[str, str] = {
    "app.enqueue_org_id": "reads one setting, which anyone may write: what binds is who may call what",
    "app.named_org_id": "the same",
    "app.named_upload_id": "the same",
    "app.named_call_id": "the same",
    "app.note_upload_action": "one INSERT, whose absence is made above, where it is called",
    "public.erase_recording": "one call of app.plan_erasure, whose weaknesses are made above",
    "app.note_call_action": "one INSERT, whose absence is made above, where it is called",
    "app.note_integration": "one INSERT, whose absence is made above, where it is called",
    "app.seal_key_id": "reads the head of a value; what is no such head is refused by app.refuse_unsealed, above",
    "app.report_worker": "no organisation's data",
    "app.seconds_ago": "arithmetic",
}
"""Why the other functions have nothing to weaken. Both lists together name every function."""

_DEFINITIONS = """
SELECT format('%s.%s', p.pronamespace::regnamespace, p.proname), pg_get_functiondef(p.oid) FROM pg_proc AS p
WHERE p.pronamespace IN ('public'::regnamespace, 'app'::regnamespace) ORDER BY 1
"""


class OutOfDate(Exception):
    """A function has changed so that a weakening no longer fits it, or is new and nobody said how it may be weaker."""


def mutants(connection: psycopg.Connection[Any]) -> Iterator[Mutant]:
    definitions = dict(connection.execute(_DEFINITIONS).fetchall())
    unsaid = definitions.keys() ^ (WEAKER.keys() | PLAIN.keys())
    if unsaid:
        raise OutOfDate(f"say in bodies.py how these could be weaker, or why they cannot: {sorted(unsaid)}")
    for name, weakenings in WEAKER.items():
        for what, old, new in weakenings:
            made = _replaced(name, definitions[name], old, new)
            roles = _asking(name)
            yield Mutant("body", f"{name}: {what}", (made,), () if roles else (name,), roles)


def _asking(function: str) -> tuple[str, ...]:
    """For whom the functions of the contexts answer; any other is asked by its own cells."""
    return {"app.task_org_id": ("recording_worker",)}.get(function, ("authenticated",) if ".auth_" in function else ())


def _replaced(name: str, definition: str, old: str, new: str | None) -> str:
    """The definition runs as one statement: percent signs in it are no parameters."""
    if definition.count(old) != 1:
        raise OutOfDate(f"{name} has no longer exactly one: {old}")
    if new is not None:
        return definition.replace(old, new)
    begin = definition.index(old)
    return definition[:begin] + definition[definition.index(";", begin) + 1 :]
