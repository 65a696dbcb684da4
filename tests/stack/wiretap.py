"""Redis as somebody sees it who may read and write all of it: what is published, and what is put in beside it."""

import base64
import copy
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import redis

from tests.waiting import until
from workers.doorbell import GRANT_HEADER, UPLOAD_TASK

QUEUE = "rec:upload"


def doorbell(org_id: UUID, upload_id: UUID, grant: str, *also: UUID, **headers: Any) -> dict[str, Any]:
    """A message as the dispatcher's Celery writes it into the list."""
    named = {"org_id": str(org_id), "upload_ids": [str(row) for row in (upload_id, *also)]}
    known = {"lang": "py", "task": UPLOAD_TASK, "id": str(uuid4()), "argsrepr": "()", "kwargsrepr": repr(named)}
    return {
        "body": encoded([[], named, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": known | {GRANT_HEADER: grant} | headers,
        "properties": {
            "correlation_id": str(uuid4()),
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "upload"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid4()),
        },
    }


def encoded(content: Any) -> str:
    return base64.b64encode(json.dumps(content).encode()).decode()


def edited(message: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return copy.deepcopy(message) | parts


@dataclass
class Wiretap:
    """``heard`` has what every client said to Redis, a command each."""

    client: "redis.Redis"
    heard: list[str] = field(default_factory=list)

    def push(self, *messages: Any, queue: str = QUEUE) -> None:
        """Into a list of doorbells: text and bytes as they are, anything else as JSON. All at once."""
        raw = [message if isinstance(message, str | bytes) else json.dumps(message) for message in messages]
        self.client.lpush(queue, *raw)

    def published(self, upload_id: UUID) -> str:
        """The message that the dispatcher rang with for this upload, as it lies in the list."""

        def found() -> str:
            for command in tuple(self.heard):
                message = re.search(r"LPUSH rec:upload (\{.*\})", command)
                if message and str(upload_id) in str(base64.b64decode(json.loads(message[1])["body"])):
                    return message[1]
            return ""

        return until(found)

    def grants(self) -> set[str]:
        """Of every doorbell that was published."""
        pushed = [command for command in tuple(self.heard) if command.startswith("LPUSH rec:upload ")]
        return {grant for command in pushed for grant in re.findall(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", command)}


@contextmanager
def wiretap(redis_url: str) -> Iterator[Wiretap]:
    with redis.Redis.from_url(redis_url) as client, client.monitor() as monitor:
        tap = Wiretap(client)
        # It waits for the next command, and there always is one: workers look after their unacknowledged messages.
        threading.Thread(target=_listen, args=(monitor, tap.heard), daemon=True).start()
        yield tap


def _listen(monitor: Any, heard: list[str]) -> None:
    try:
        heard.extend(command["command"] for command in monitor.listen())
    except (redis.RedisError, ValueError, OSError, AttributeError):
        return
