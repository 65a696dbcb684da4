"""What ``make example`` puts into the stack: two organisations, and calls that end while one looks on."""

import secrets
import time
from datetime import UTC, datetime
from itertools import count
from uuid import UUID

import jwt
import psycopg

from examples.call_handler.reporters import CLINICS, Clinic, Ended, Reporter, tone
from workers.demo.behaviours import Behaviour, html, slow
from workers.demo.provider import Provider

TOKEN_S = 12 * 3600
_ORGANISATION = "INSERT INTO public.organizations (id, name) VALUES (%s, %s) ON CONFLICT DO NOTHING"
_AGENT = """
INSERT INTO public.agents (org_id, name, provider, provider_agent_id) VALUES (%s, 'Reception', %s, %s)
ON CONFLICT DO NOTHING
"""
_LINE = "INSERT INTO public.inbound_agent_config (org_id, phone_number) VALUES (%s, %s) ON CONFLICT DO NOTHING"
#: Seconds of each, and how the provider serves it.
_CALLS: tuple[tuple[int, tuple[Behaviour, ...]], ...] = (
    (9, ()),
    (14, ()),
    (21, ()),
    (6, (html(),)),
    (30, (slow(16_000),)),
)


def furnish(admin_url: str) -> None:
    """Organisations, agents and lines, as administrator; those that are there stay."""
    with psycopg.connect(admin_url) as connection:
        for clinic in CLINICS:
            connection.execute(_ORGANISATION, (clinic.org_id, clinic.name))
            connection.execute(_AGENT, (clinic.org_id, clinic.provider, clinic.agent))
            connection.execute(_LINE, (clinic.org_id, clinic.line))


def token(secret: str, org_id: UUID, user_id: UUID) -> str:
    """As your identity provider would issue it: the organisation in ``app_metadata``, which users cannot write."""
    now = int(time.time())
    claims = {"sub": str(user_id), "aud": "authenticated", "role": "authenticated", "iat": now, "exp": now + TOKEN_S}
    return jwt.encode(claims | {"app_metadata": {"org_id": str(org_id)}}, secret, algorithm="HS256")


def tell(provider: Provider, reporter: Reporter) -> None:
    """Every call of the demo, and one whose agent nobody knows."""
    numbers = count(1)
    for seconds, behaviours in _CALLS:
        for clinic in CLINICS:
            number = next(numbers)
            report(reporter, clinic, made(provider, number, seconds, *behaviours))
    reporter.by_vapi(made(provider, next(numbers), 5), "assistant-of-nobody", "")


def made(provider: Provider, number: int, seconds: int, *behaviours: Behaviour) -> Ended:
    """A call that has just ended, with its recording at the provider."""
    call_id = f"CA{secrets.token_hex(16)}"
    url = provider.add(f"/recordings/{call_id}.wav", tone(number, seconds), *behaviours)
    return Ended(call_id, url, seconds, f"+120255501{number + 19:02}", datetime.now(UTC))


def report(reporter: Reporter, clinic: Clinic, ended: Ended) -> int:
    if clinic.provider == "vapi":
        return reporter.by_vapi(ended, clinic.agent, clinic.line)
    return reporter.by_twilio(ended, clinic.line)
