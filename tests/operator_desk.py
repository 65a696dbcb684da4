"""An operator at a terminal, and uploads that have failed."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

from typer.testing import CliRunner, Result

from tests.database import Database
from workers.cli import app

_SEED = """
WITH calls AS (
    INSERT INTO call_logs (org_id, provider, provider_call_id, recording_status)
    SELECT %(org)s, %(provider)s, gen_random_uuid(), 'failed' FROM generate_series(1, %(count)s) RETURNING id
), uploads AS (
    INSERT INTO recording_upload_queue (org_id, call_id, provider, recording_id, source_url, priority, status, attempt,
        failures, error_code, next_attempt_at)
    SELECT %(org)s, id, %(provider)s, id, 'https://provider.example/secret', 3,
        CASE WHEN %(given_up)s THEN 'failed' ELSE 'pending' END, 1, 1, %(code)s, now() + interval '1 hour'
    FROM calls RETURNING id, call_id
), numbered AS (SELECT *, row_number() OVER () AS n FROM uploads)
INSERT INTO failed_recording_uploads (org_id, call_id, upload_id, error_code, error_message, first_failed_at,
    last_failed_at, given_up_at, next_retry_at)
SELECT %(org)s, call_id, id, %(code)s, 'It failed.', now() - %(age)s::interval + n * interval '1 millisecond',
    now() - %(age)s::interval + n * interval '1 millisecond',
    CASE WHEN %(given_up)s THEN now() END, CASE WHEN NOT %(given_up)s THEN now() + interval '1 hour' END
FROM numbered RETURNING upload_id, id
"""


@dataclass(frozen=True)
class OperatorDesk:
    """One organisation's failures, and the command as its operator runs it."""

    database: Database
    org_id: UUID

    def fail(self, count: int = 1, *, code: str = "source_forbidden", given_up: bool = True, **more: Any) -> list[UUID]:
        """Uploads that failed, oldest first."""
        values = {"org": self.org_id, "provider": "twilio", "age": "1 hour"} | more
        with self.database.connect() as admin:
            rows = admin.execute(_SEED, values | {"count": count, "code": code, "given_up": given_up}).fetchall()
        return [row[0] for row in rows]

    def run(self, *arguments: object) -> Result:
        environment = {"DATABASE_URL": self.database.url("recording_ops")}
        return CliRunner().invoke(app, ["failures", *map(str, arguments)], env=environment)

    def json(self, *arguments: object, code: int = 0) -> dict[str, Any]:
        result = self.run(*arguments, "--json")
        assert result.exit_code == code, result.output
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    def audited(self) -> list[Any]:
        query: LiteralString = "SELECT subject_id FROM audit_log WHERE org_id = %s ORDER BY id"
        return [row[0] for row in self.database.all(query, self.org_id)]

    def pending(self) -> int:
        query = "SELECT count(*) FROM recording_upload_queue WHERE org_id = %s AND status = 'pending'"
        return int(self.database.one(query, self.org_id))

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """As a process of its own, with nobody at the keyboard."""
        return subprocess.Popen(
            [sys.executable, "-m", "workers.cli", "failures", *map(str, arguments)],
            env=os.environ | {"DATABASE_URL": self.database.url("recording_ops")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
