"""The course of the demo: calls end, a worker is killed, all settles, the evidence is taken. One thread, one loop."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg

from workers.demo.evidence import Evidence
from workers.demo.gather import gather
from workers.demo.handler import CallHandler
from workers.demo.killing import Killed, choose, kill, process_name
from workers.demo.kinds import SLOW
from workers.demo.news import tell_news
from workers.demo.observer import Observer, Snapshot
from workers.demo.operator import Operator
from workers.demo.provider import Provider
from workers.demo.script import Script
from workers.demo.stage import Stage
from workers.demo.view import View

DELIVER_EVERY_S = 0.02
LOOK_EVERY_S = 0.2
PATIENCE_S = 45.0
"""How much longer than the calls take, and a little for each of them, until what is not settled counts as lost."""
PATIENCE_EACH_S = 0.05
UNDER_WAY_S = 0.5
"""From the last slow recording's enqueue to the kill: it is to die while it copies, not before it has begun."""


@dataclass(slots=True)
class Play:
    """``run`` it once, on a stage that is ready."""

    stage: Stage
    script: Script
    view: View
    handler: CallHandler
    observer: Observer
    operator: Operator
    began: float = field(default_factory=time.monotonic)
    killed: Killed | None = None
    is_victim_back: bool = False
    slow_since_s: float | None = None
    lost: int = 0

    def run(self) -> None:
        """Until every upload is settled, or patience has run out: then the checks say what is missing."""
        give_up_s = self.script.over_s + PATIENCE_S + PATIENCE_EACH_S * len(self.script.calls)
        look_at_s = 0.0
        while (now_s := self.now_s()) < give_up_s:
            self.deliver(now_s)
            if now_s >= look_at_s:
                look_at_s = now_s + LOOK_EVERY_S
                snapshot = self.look()
                if self.is_over(snapshot) and not self.repair():
                    break
            time.sleep(DELIVER_EVERY_S)

    def is_over(self, snapshot: Snapshot) -> bool:
        is_settled = self.handler.is_done and snapshot.settled() >= self.handler.enqueued
        return is_settled and (self.killed is None or self.is_victim_back)

    def repair(self) -> int:
        """The operator's turn comes once, when all else is settled; what is retried is to be waited for again."""
        count = 0 if self.operator.has_acted else self.operator.repair(self.handler.deliveries)
        if count:
            uploads = f"{count} {'upload' if count == 1 else 'uploads'}"
            self.view.milestone(f"the provider gives out what it refused: an operator retries {uploads}")
        return count

    def now_s(self) -> float:
        return time.monotonic() - self.began

    def deliver(self, now_s: float) -> None:
        was_done = self.handler.is_done
        for delivery in self.handler.deliver_due(now_s):
            if not delivery.created:
                self.view.note(
                    f"{self.script.names[delivery.call.organisation]}: a call reported twice is enqueued once"
                )
        if self.handler.is_done and not was_done:
            self.view.milestone(f"all {self.handler.enqueued} calls have ended and are enqueued")

    def look(self) -> Snapshot:
        snapshot = self.observer.look()
        self.lost = tell_news(snapshot, self.view, lost_before=self.lost)
        if self.killed is None:
            self.kill_one(snapshot)
        elif not self.is_victim_back:
            self.await_victim(self.killed)
        self.view.show(snapshot)
        return snapshot

    def kill_one(self, snapshot: Snapshot) -> None:
        """Soon after all slow recordings are enqueued, when one of them is being copied."""
        slow = {one.upload_id for one in self.handler.deliveries if one.call.kind is SLOW}
        if len(slow) < sum(call.kind is SLOW for call in self.script.calls):
            return
        self.slow_since_s = self.slow_since_s or self.now_s()
        worker = choose(snapshot.held, slow)
        if worker is None or self.now_s() - self.slow_since_s < UNDER_WAY_S:
            return
        self.killed = kill(worker, processes=self.stage.look(), held=self.observer.held, at_s=self.now_s())
        if self.killed:
            uploads = f"{len(self.killed.held)} {'upload' if len(self.killed.held) == 1 else 'uploads'}"
            name = process_name(worker)
            self.view.milestone(f"{name} (process {self.killed.pid}) killed with SIGKILL while it held {uploads}")

    def await_victim(self, killed: Killed) -> None:
        name = process_name(killed.worker)
        process = self.stage.look()[name]
        if process.pid != killed.pid:
            self.is_victim_back = True
            self.view.milestone(f"{name} was started again by the supervisor (process {process.pid})")


def play(stage: Stage, script: Script, view: View) -> Evidence:
    """Run the script on this stage and take the evidence. Judging it is for the checks."""
    with ExitStack() as stack:
        org_ids = make_organisations(stage, script.names)
        provider = stack.enter_context(Provider())
        handler_login = stack.enter_context(connect(stage, "call_handler"))
        handler = CallHandler(handler_login, provider, org_ids, script)
        observer = Observer(stack.enter_context(connect(stage, "ops")))
        operator = Operator(observer.connection, provider)
        played = Play(stage, script, view, handler, observer, operator)
        played.run()
        took_s = played.now_s()
        stage.look()
        view.milestone("checking: every object is read back and hashed")
        return gather(stage, script, org_ids, handler.deliveries, played.killed, took_s)


def connect(stage: Stage, role: str) -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(stage.environment(role)["DATABASE_URL"], autocommit=True)


def make_organisations(stage: Stage, names: Sequence[str]) -> tuple[UUID, ...]:
    statement = "INSERT INTO public.organizations (name) VALUES (%s) RETURNING id"
    with connect(stage, "admin") as connection:
        rows = [connection.execute(statement, (name,)).fetchone() for name in names]
    return tuple(UUID(str(row[0])) for row in rows if row)
