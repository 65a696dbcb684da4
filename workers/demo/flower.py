"""What Flower shows of the demo's tasks, and to whom."""

import http.client
import json
from base64 import b64encode
from urllib.parse import urlsplit

from workers.demo.evidence import FlowerSight
from workers.demo.stage import Stage

_TASKS = "/api/tasks?limit=1000000"


def look_at_flower(stage: Stage) -> FlowerSight:
    settings = stage.environment("admin")
    login = "Basic " + b64encode(settings["FLOWER_BASIC_AUTH"].encode()).decode()
    refused, _ = _get(settings["FLOWER_URL"], {})
    _, tasks = _get(settings["FLOWER_URL"], {"Authorization": login})
    return FlowerSight(refused, tuple(json.loads(tasks).values()))


def _get(url: str, headers: dict[str, str]) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10.0)
    try:
        connection.request("GET", _TASKS, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
