"""The operator of the demo: what the provider refused is tried again once somebody has talked to the provider."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from workers.demo.handler import Delivery, path_of
from workers.demo.kinds import FORBIDDEN
from workers.demo.provider import Provider

REASON = "the provider lets us in again"


@dataclass(slots=True)
class Operator:
    """``connection`` logs in as ``recording_ops`` and commits by itself."""

    connection: psycopg.Connection[Any]
    provider: Provider
    has_acted: bool = False

    def repair(self, deliveries: Sequence[Delivery]) -> int:
        """Have the refused recordings given out from now on, and their uploads retried; returns how many were."""
        self.has_acted = True
        refused = {delivery.upload_id: delivery.call for delivery in deliveries if delivery.call.kind is FORBIDDEN}
        for call in refused.values():
            self.provider.add(path_of(call), call.recording)
        statement = "SELECT public.retry_failed_upload(%s, %s)"
        answers = [self.connection.execute(statement, (upload_id, REASON)).fetchone() for upload_id in refused]
        return answers.count(("retried",))
