"""A queue with a history: rows by the million, in databases of their own."""

from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg

# A chunk a statement. Triggers and foreign keys rest meanwhile: what they would check is true by construction.
_ORGANISATIONS = """
INSERT INTO public.organizations (id, name)
SELECT ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'o' || n FROM generate_series(1, %(orgs)s) AS n
"""
_ROWS = """
WITH made AS (
    SELECT n, gen_random_uuid() AS call_id,
           ('00000000-0000-4000-8000-' || lpad(to_hex(
               CASE WHEN %(skewed)s AND n %% 10 <> 0 THEN 1 ELSE 1 + n %% %(orgs)s END), 12, '0'))::uuid AS org_id,
           n %% %(every)s = 0 AS waits
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
), call AS (
    INSERT INTO public.call_logs (id, org_id, provider, provider_call_id)
    SELECT call_id, org_id, 'https', 'h' || n FROM made
)
INSERT INTO public.recording_upload_queue (org_id, call_id, provider, recording_id, source_url, next_attempt_at, status,
    attempt, completed_at, object_key, size_bytes, sha256, content_type)
SELECT org_id, call_id, 'https', 'h' || n, 'https://provider.example/' || n || '.wav',
    now() + make_interval(secs => %(due_in_s)s + n %% 1000),
    CASE WHEN waits THEN 'pending' ELSE 'completed' END, CASE WHEN waits THEN 0 ELSE 1 END,
    CASE WHEN NOT waits THEN now() END,
    CASE WHEN NOT waits THEN org_id || '/2026/11/' || call_id || '/' || n || '.wav' END,
    CASE WHEN NOT waits THEN 200000 END, CASE WHEN NOT waits THEN repeat('ab', 32) END,
    CASE WHEN NOT waits THEN 'audio/x-wav' END
FROM made
"""
_CHUNK = 100_000
# Ten million rows into a dozen indexes, one by one, take twenty minutes. Made anew at the end they take five.
_INDEXES_ASIDE = """
UPDATE pg_catalog.pg_index SET indisready = false, indisvalid = false
WHERE indrelid IN ('public.recording_upload_queue'::regclass, 'public.call_logs'::regclass)
"""
_INDEXES_ANEW = """
SET maintenance_work_mem = '1GB';
REINDEX TABLE public.recording_upload_queue; REINDEX TABLE public.call_logs;
RESET maintenance_work_mem
"""


@dataclass(frozen=True, slots=True)
class Filling:
    """``every``: one in so many rows is pending, due in ``due_in_s`` (negative: since then); the others are stored.
    ``skewed``: nine tenths belong to one organisation."""

    rows: int
    orgs: int
    every: int = 10
    due_in_s: int = 86_400
    skewed: bool = False


def fill(connection: psycopg.Connection[Any], filling: Filling, *, present: int = 0) -> None:
    """Bring a new database to so many rows, ``present`` of which are there from an earlier call with as many
    organisations."""
    parameters = {
        "orgs": filling.orgs,
        "every": filling.every,
        "due_in_s": filling.due_in_s,
        "skewed": filling.skewed,
    }
    connection.execute("SET session_replication_role = replica; SET synchronous_commit = off")
    if not present:
        connection.execute(_ORGANISATIONS, parameters)
    connection.execute(_INDEXES_ASIDE)
    for first in range(present + 1, filling.rows + 1, _CHUNK):
        connection.execute(_ROWS, parameters | {"first": first, "last": min(filling.rows, first + _CHUNK - 1)})
    connection.execute(_INDEXES_ANEW)
    connection.execute("RESET session_replication_role; RESET synchronous_commit")
    tables: LiteralString = "public.recording_upload_queue, public.call_logs, public.organizations"
    connection.execute(f"VACUUM ANALYZE {tables}")
    connection.execute("CHECKPOINT")
