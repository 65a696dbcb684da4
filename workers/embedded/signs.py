"""Whether a part of the stack does its work, asked from outside."""

from collections.abc import Iterable

import psycopg

from workers.embedded.children import is_worker
from workers.embedded.ports import is_listening
from workers.embedded.servers import Servers

PING_WITHIN_S = 0.3
LEADS = """
SELECT EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
               WHERE locktype = 'advisory' AND granted AND usename = 'recording_dispatcher')
"""


def ready(parts: Iterable[str], servers: Servers) -> set[str]:
    """Those of these parts that are. Takes up to 0.3 s while a worker is among them."""
    parts = set(parts)
    found = answering(servers.redis_url) & parts if any(is_worker(part) for part in parts) else set()
    if "dispatcher" in parts and leads(servers.admin_url):
        found.add("dispatcher")
    if "flower" in parts and is_listening(servers.state.ports["flower"]):
        found.add("flower")
    return found


def leads(admin_url: str) -> bool:
    """Some dispatcher holds the lock of the active one."""
    with psycopg.connect(admin_url) as connection:
        row = connection.execute(LEADS).fetchone()
        return bool(row and row[0])


def answering(redis_url: str) -> set[str]:
    """The workers that answer a ping: they have their queues by then."""
    from celery import Celery  # noqa: PLC0415  0.3 s that are spent while the workers start

    with Celery(broker=redis_url, set_as_current=False) as app:
        app.config_from_object("celeryconfig")
        replies = app.control.ping(timeout=PING_WITHIN_S) or []
    return {name.partition("@")[0] for reply in replies for name in reply}
