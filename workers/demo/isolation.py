"""Who sees whose rows: asked with the real logins, through the only two doors that the system has (schema.tenancy)."""

import base64
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from secrets import token_bytes
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError

from schema.tenancy import task_transaction, user_transaction
from workers.demo.evidence import TABLES, Refusal, Sight
from workers.demo.stage import Stage
from workers.grants import GrantKey, mint

_LIFETIME_S = 60.0


def see_as_users(stage: Stage, org_ids: Sequence[UUID]) -> Iterator[Sight]:
    """A signed-in user of each organisation, and one whose token names none."""
    engine = _engine(stage, "authenticator")
    for org_id in (*org_ids, None):
        claims: Mapping[str, Any] = {"sub": str(uuid4()), "app_metadata": {"org_id": str(org_id)} if org_id else {}}
        for table in TABLES:
            yield Sight("user", org_id, table, _see(user_transaction(engine, claims), table))
    engine.dispose()


def see_as_workers(stage: Stage, org_ids: Sequence[UUID]) -> Iterator[Sight]:
    """A worker with a grant for each organisation, minted as the dispatcher mints."""
    engine, key = _engine(stage, "worker"), _key(stage)
    for org_id in org_ids:
        grant = mint(key, org_id=org_id, subject=uuid4(), now_s=time.time(), lifetime_s=_LIFETIME_S)
        for table in TABLES:
            yield Sight("worker", org_id, table, _see(task_transaction(engine, grant), table))
    engine.dispose()


def provoke(stage: Stage, org_ids: Sequence[UUID]) -> Iterator[Refusal]:
    """A worker that tries what a stolen or broken worker could try."""
    engine = _engine(stage, "worker")
    for name, grant in _bad_grants(_key(stage), org_ids).items():
        for table in TABLES:
            yield Refusal(name, table, _sqlstate(engine, grant, table))
    engine.dispose()


def _bad_grants(key: GrantKey, org_ids: Sequence[UUID]) -> dict[str, str]:
    first, other, now_s = org_ids[0], org_ids[-1], time.time()
    forger = GrantKey(kid=key.kid, secret=token_bytes(32))
    good = mint(key, org_id=first, subject=uuid4(), now_s=now_s, lifetime_s=_LIFETIME_S)
    return {
        "none": "",
        "forged": mint(forger, org_id=first, subject=uuid4(), now_s=now_s, lifetime_s=_LIFETIME_S),
        "edited": _edited(good, other),
        "expired": mint(key, org_id=first, subject=uuid4(), now_s=now_s - 2 * _LIFETIME_S, lifetime_s=_LIFETIME_S),
    }


def _edited(grant: str, org_id: UUID) -> str:
    """The same signature over another organisation."""
    header, payload, signature = grant.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))) | {"org_id": str(org_id)}
    edited = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"{header}.{edited}.{signature}"


def _see(transaction: AbstractContextManager[Connection], table: str) -> dict[UUID, int]:
    with transaction as connection:
        rows = connection.execute(text(f"SELECT org_id, count(*) FROM public.{table} GROUP BY org_id"))
        return {UUID(str(org_id)): int(count) for org_id, count in rows}


def _sqlstate(engine: Engine, grant: str, table: str) -> str | None:
    try:
        _see(task_transaction(engine, grant), table)
    except DBAPIError as error:
        return str(getattr(error.orig, "sqlstate", "") or type(error.orig).__name__)
    return None


def _engine(stage: Stage, role: str) -> Engine:
    url = stage.environment(role)["DATABASE_URL"]
    return create_engine("postgresql+psycopg://" + url.partition("://")[2])


def _key(stage: Stage) -> GrantKey:
    return GrantKey.parse(stage.environment("dispatcher")["RECORDINGS_GRANT_KEY"])
