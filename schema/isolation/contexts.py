"""For whom a transaction says it acts: truly, falsely, or not at all."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from schema.isolation.cast import Cast, Organisation
from schema.isolation.rights import CLAIMS, ENQUEUED, GRANT, MEMO, MEMO_PROOF, NAMED_CALL, NAMED_ORG, NAMED_UPLOAD

#: own, other: shows that organisation; nobody: none. refused, malformed: every statement that asks is an error.
Proves = Literal["own", "other", "nobody", "refused", "malformed"]


@dataclass(frozen=True, slots=True)
class Context:
    """Settings of one transaction, what they prove to the database, and why no more. None: what was there is left."""

    name: str
    settings: Mapping[str, str] | None
    proves: Proves
    why: str = ""


OWN = "own"
LEFT_OVER = "left over"


def contexts(proof: str, cast: Cast) -> tuple[Context, ...]:
    """Every context in which a role with this proof is asked; one without must see the same whatever is said."""
    own, other = whole_truth(cast.own), whole_truth(cast.other)
    if not proof:
        why = "this role has no context: what it sees depends on nothing that it can say"
        return Context(OWN, own, "own", why), Context("none", {}, "own", why), Context("other", other, "own", why)
    others = {name: value for name, value in own.items() if name != proof}
    silent: Proves = "refused" if proof == GRANT else "nobody"
    alone = [
        Context(OWN, {proof: own[proof]}, "own"),
        Context("other", {proof: other[proof]}, "other", "the other organisation's context shows the other's rows"),
        Context("none", {}, silent, "nobody says for whom this is"),
        Context("empty", {proof: ""}, silent, "nobody says for whom this is"),
        Context(LEFT_OVER, None, silent, "what the transaction before on this connection said has ended with it"),
        Context("another role's proof", others, silent, "another role's proof proves nothing to this one"),
    ]
    return (*alone, *(_FALSE[proof](cast) if proof in _FALSE else _false_names(proof)))


def whole_truth(org: Organisation) -> dict[str, str]:
    """The whole of what anybody could say for an organisation, all of it true."""
    token = grant(org, org)
    return {
        CLAIMS: _claims(app_metadata={"org_id": org.ids["org"]}, sub=org.ids["user"]),
        GRANT: token,
        **memo(org, org, token),
        ENQUEUED: org.ids["org"],
        NAMED_UPLOAD: org.ids["failed"],
        NAMED_ORG: org.ids["org"],
        NAMED_CALL: org.ids["call"],
    }


# Users ---------------------------------------------------------------------------------------------------------------


def _claims(**given: object) -> str:
    return json.dumps(given)


def _false_claims(cast: Cast) -> tuple[Context, ...]:
    own, other, user = cast.own.ids["org"], cast.other.ids["org"], cast.own.ids["user"]
    theirs = "user_metadata is what users write about themselves"
    shape = "the organisation is a string in app_metadata.org_id, and nothing else is one"
    nobody = {
        "user_metadata only": (_claims(sub=user, user_metadata={"org_id": own}), theirs),
        "empty app_metadata beside user_metadata": (
            _claims(sub=user, app_metadata={}, user_metadata={"org_id": own}),
            theirs,
        ),
        "top-level org_id claim": (_claims(sub=user, org_id=own), shape),
        "nested claim": (_claims(sub=user, app_metadata={"org_id": {"org_id": own}}), shape),
        "nested deeper": (_claims(sub=user, claims={"app_metadata": {"org_id": own}}), shape),
        "array claim": (_claims(sub=user, app_metadata={"org_id": [own]}), shape),
        "array of app_metadata": (_claims(sub=user, app_metadata=[{"org_id": own}]), shape),
        "app_metadata as text": (_claims(sub=user, app_metadata=json.dumps({"org_id": own})), shape),
        "null organisation": (_claims(sub=user, app_metadata={"org_id": None}), shape),
        "empty organisation": (_claims(sub=user, app_metadata={"org_id": ""}), shape),
        "malformed organisation": (_claims(sub=user, app_metadata={"org_id": f"{own}' OR true --"}), shape),
        "wildcard organisation": (_claims(sub=user, app_metadata={"org_id": "*"}), shape),
        "an organisation that is not": (_claims(sub=user, app_metadata={"org_id": user}), "it has no rows"),
        "malformed": ("{", "claims that are no JSON name nobody"),
        "an array of claims": (json.dumps([{"app_metadata": {"org_id": own}}]), shape),
        "a scalar": (json.dumps(own), shape),
        "the word null": ("null", shape),
        "a task grant": (grant(cast.own, cast.own), "a worker's grant is not a user's token"),
    }
    claims = [Context(name, {CLAIMS: text}, "nobody", why) for name, (text, why) in nobody.items()]
    both = _claims(sub=user, app_metadata={"org_id": own}, user_metadata={"org_id": other}, org_id=other)
    return (*claims, Context("own, and user_metadata of the other", {CLAIMS: both}, "own", theirs))


# Workers -------------------------------------------------------------------------------------------------------------


def grant(key: Organisation, org: Organisation, *, header: Mapping[str, object] | None = None, **claims: object) -> str:
    """A task grant (DESIGN section 5) for ``org``, signed with the key of ``key``. None takes a claim away."""
    now_s = int(time.time())
    payload = {
        "org_id": org.ids["org"],
        "sub": org.ids["pending"],
        "aud": "recording-worker",
        "iat": now_s,
        "exp": now_s + 600,
        "jti": "isolation",
    } | claims
    head = _part({"alg": "HS256", "typ": "JWT", "kid": key.ids["kid"]} | dict(header or {}))
    signed = f"{head}.{_part({name: claim for name, claim in payload.items() if claim is not None})}"
    return f"{signed}.{_encoded(hmac.digest(key.secret, signed.encode(), hashlib.sha256))}"


def memo(
    key: Organisation, org: Organisation, token: str, *, ends_in_s: int = 600, proof_of: str | None = None
) -> dict[str, str]:
    """What app.task_org_id() keeps of a grant that it has verified; with ``proof_of``, and a proof of other words."""
    said = f"{org.ids['org']} {int(time.time()) + ends_in_s} {key.ids['kid']}"
    proved = f"memo:{said} {token}" if proof_of is None else proof_of
    proof = hmac.digest(key.secret, proved.encode(), hashlib.sha256)
    return {MEMO: said, MEMO_PROOF: base64.b64encode(proof).decode()}


def _part(value: Mapping[str, object]) -> str:
    return _encoded(json.dumps(value).encode())


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def _false_grants(cast: Cast) -> tuple[Context, ...]:
    own, other = cast.own, cast.other
    now_s, org = int(time.time()), own.ids["org"]
    good = grant(own, own)
    head, body, signature = good.split(".")
    others_body = grant(own, other).split(".")[1]
    stranger = Organisation.new()
    made = {
        "forged": (f"{head}.{others_body}.{signature}", "the signature is of other words"),
        "without its signature": (f"{head}.{body}.", "nobody signed it"),
        "cut short": (f"{head}.{body}", "nobody signed it"),
        "another's signature": (f"{head}.{body}.{grant(other, own).split('.')[2]}", "the signature is of another key"),
        "other key": (grant(stranger, own), "nobody installed this key"),
        "other key under a known name": (
            grant(stranger, own, header={"kid": own.ids["kid"]}),
            "the signature is of another key",
        ),
        "retired key": (grant(cast.retired, own), "the key has been retired"),
        "no key named": (grant(own, own, header={"kid": None}), "it does not say whose signature it is"),
        "alg none": (f"{_part({'alg': 'none', 'kid': own.ids['kid']})}.{body}.", "a grant without a signature is none"),
        "alg none, signed": (grant(own, own, header={"alg": "none"}), "HS256 is the one algorithm"),
        "other algorithm": (grant(own, own, header={"alg": "HS512"}), "HS256 is the one algorithm"),
        "expired": (grant(own, own, exp=now_s - 1), "its time is over"),
        "without an end": (grant(own, own, exp=None), "a grant ends"),
        "from the future": (grant(own, own, iat=now_s + 3600), "it is not valid yet"),
        "without a beginning": (grant(own, own, iat=None), "it does not say since when"),
        "other audience": (grant(own, own, aud="authenticated"), "it is for somebody else than a worker"),
        "list of audiences": (grant(own, own, aud=["recording-worker"]), "it is for one audience, and says which"),
        "no audience": (grant(own, own, aud=None), "it does not say for whom it is"),
        "no subject": (grant(own, own, sub=None), "it does not say for which row it is"),
        "no id": (grant(own, own, jti=None), "it cannot be told from another"),
        "user_metadata only": (
            grant(own, own, org_id=None, user_metadata={"org_id": org}),
            "the organisation is in org_id and nowhere else",
        ),
        "app_metadata only": (
            grant(own, own, org_id=None, app_metadata={"org_id": org}),
            "the organisation is in org_id and nowhere else",
        ),
        "nested claim": (grant(own, own, org_id={"org_id": org}), "the organisation is a string"),
        "array claim": (grant(own, own, org_id=[org]), "the organisation is a string"),
        "malformed organisation": (grant(own, own, org_id="everyone"), "the organisation is an id"),
        "malformed": ("let me in", "it is no grant"),
        "not base64": ("a!.b!.c!", "it is no grant"),
        "three empty parts": ("..", "it is no grant"),
        "very long": (good + "A" * 10_000, "no grant is this long"),
        "a user's claims": (_claims(app_metadata={"org_id": org}), "a user's token is not a worker's grant"),
    }
    grants = [Context(name, {GRANT: text}, "refused", why) for name, (text, why) in made.items()]
    return (*grants, *_false_memos(cast))


def _false_memos(cast: Cast) -> Iterator[Context]:
    """What anybody may write into the memo, beside a grant that proves nothing and beside one that does."""
    own, other, retired = cast.own, cast.other, cast.retired
    good, late, others = grant(own, own), grant(own, own, exp=int(time.time()) - 1), grant(other, other)
    revoked, stranger = grant(retired, own), replace(Organisation.new(), ids=own.ids)
    kept = memo(own, own, good)
    theirs = "a memo is of one grant, to the letter"
    refused = {
        "a memo, and no grant": (kept, theirs),
        "a memo of another grant": ({GRANT: late, **kept}, theirs),
        "a memo of no grant": ({GRANT: late, **memo(own, own, "")}, theirs),
        "a memo of a grant, and an edited one": ({GRANT: good[:-1], **kept}, theirs),
        "a memo of a grant that has ended": ({GRANT: late, **memo(own, own, late, ends_in_s=-1)}, "its time is over"),
        "a memo that somebody prolonged": (
            {GRANT: late, **memo(own, own, late), MEMO_PROOF: memo(own, own, late, ends_in_s=-1)[MEMO_PROOF]},
            "its proof is of another end",
        ),
        "a memo without a proof": ({GRANT: late, **memo(own, own, late), MEMO_PROOF: ""}, "nobody has proved it"),
        "a memo by another key": ({GRANT: late, **memo(stranger, own, late)}, "its proof is by another key"),
        "a memo by a retired key": ({GRANT: revoked, **memo(retired, own, revoked)}, "the key has been retired"),
        "a memo proved by a grant's signature": (
            {GRANT: late, **memo(own, own, late, proof_of=late.rpartition(".")[0])},
            "a signature is no proof, under the same key",
        ),
        "a memo that is none": ({GRANT: late, MEMO: "everyone", MEMO_PROOF: "everyone"}, "it is no memo"),
    }
    yield from (Context(name, {GRANT: "", **said}, "refused", why) for name, (said, why) in refused.items())
    yield Context("own, and the other's memo", {GRANT: good, **memo(other, other, others)}, "own", theirs)
    edited = {GRANT: good, **memo(own, other, good), MEMO_PROOF: kept[MEMO_PROOF]}
    yield Context("own, and its memo edited to the other", edited, "own", "its proof is of another organisation")
    unnamed = {GRANT: good, **memo(own, other, good, proof_of=f"memo: {good}")}
    yield Context("own, and a memo proved for nobody", unnamed, "own", "its proof is of another organisation")


# Functions' owners ---------------------------------------------------------------------------------------------------


def _false_names(setting: str) -> tuple[Context, ...]:
    return (
        Context("malformed", {setting: "everyone"}, "malformed", "what the call names is an id"),
        Context("an id that is not", {setting: "00000000-0000-0000-0000-000000000001"}, "nobody", "it has no rows"),
    )


_FALSE: Mapping[str, Callable[[Cast], tuple[Context, ...]]] = {
    CLAIMS: _false_claims,
    GRANT: _false_grants,
}
