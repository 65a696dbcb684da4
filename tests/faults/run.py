"""One chaos run: the plan is carried out on a stage, everything is healed, what is left settles, and it is judged."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.faults.eyes import Eyes
from tests.faults.intruder import Intruder
from tests.faults.load import Load
from tests.faults.monkey import Made, Monkey
from tests.faults.plan import Plan
from tests.faults.stage import CAP, Stage, stage
from tests.faults.verdict import Facts, gather, judge
from tests.faults.watch import Watch
from workers.demo.check import Check
from workers.grants import GrantKey

STEP_S = 0.05
PROGRESS_EVERY_S = 10.0
SETTLE_WITHIN_S = 120.0
#: After the last row is settled: what a zombie still does, it does in this time.
AFTERMATH_S = 3.0
_UNSETTLED = "SELECT count(*) FROM recording_upload_queue WHERE status IN ('pending', 'processing')"


@dataclass(frozen=True, slots=True)
class Result:
    plan: Plan
    facts: Facts
    faults: tuple[Made, ...]
    takeovers: tuple[float, ...]
    intrusions: dict[str, int]
    most_in_flight: int
    risen: dict[str, int]
    settled_after_s: float
    took_s: float
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)


class Run:
    """``tell`` hears lines for people."""

    def __init__(self, here: Stage, plan: Plan, tell: Callable[[str], None]) -> None:
        self.here, self.plan, self.tell = here, plan, tell
        self.monkey = Monkey(here, plan, tell)
        handler = here.stack.through_proxy(here.stack.environment("call_handler")["DATABASE_URL"])
        self.load = Load(plan, database_url=handler, provider=here.provider, org_ids=here.org_ids)
        key = GrantKey.parse(here.state.secrets["grant_key"])
        redis_url = here.stack.servers.redis_url
        self.intruder = Intruder(seed=plan.seed, redis_url=redis_url, database_url=here.admin_url, key=key)
        self.watch = Watch(database_url=here.admin_url, cap=CAP)
        self.eyes = Eyes(here.admin_url)
        self.risen: dict[str, int] = {}
        self.told_at = time.monotonic()

    def carry_out(self) -> Result:
        began = time.monotonic()
        threads = (self.load, self.intruder, self.watch)
        for thread in threads:
            thread.start()
        try:
            self.storm(began)
            self.monkey.heal()
            healed = time.monotonic()
            self.settle(began)
            settled_after_s = time.monotonic() - healed
            self.tend_until(time.monotonic() + AFTERMATH_S, began)
        finally:
            for thread in threads:
                thread.leaving.set()
            for thread in threads:
                thread.join(timeout=30.0)
            self.eyes.close()
        return self.judged(settled_after_s, time.monotonic() - began)

    def storm(self, began: float) -> None:
        self.tend_until(began + self.plan.over_s, began, self.monkey.step)

    def settle(self, began: float) -> None:
        self.tell(f"{time.monotonic() - began:6.1f} s  everything is healed; what is left may settle")
        give_up_at = time.monotonic() + SETTLE_WITHIN_S
        while time.monotonic() < give_up_at:
            rows = self.eyes.ask(_UNSETTLED)
            if self.load.is_done and rows is not None and rows[0][0] == 0:
                return
            self.tend_until(time.monotonic() + 0.2, began)

    def tend_until(self, at: float, began: float, step: Callable[[float], None] = lambda _: None) -> None:
        while (now := time.monotonic()) < at:
            for name in self.here.stack.tend():
                self.risen[name] = self.risen.get(name, 0) + 1
            step(time.monotonic() - began)
            if self.load.fault is not None:
                raise self.load.fault
            if now - self.told_at >= PROGRESS_EVERY_S:
                self.told_at = now
                self.tell(f"{now - began:6.1f} s  {self.progress()}")
            time.sleep(STEP_S)

    def progress(self) -> str:
        counts = self.watch.status
        shown = ", ".join(
            f"{counts.get(name, 0):,} {name}" for name in ("completed", "failed", "processing", "pending")
        )
        return f"{len(self.load.deliveries):,} said: {shown}; {self.watch.most} in flight at most"

    def all_said(self) -> Check:
        """Otherwise what was not said would be missed by nobody."""
        said = len({delivery.call.recording_id for delivery in self.load.deliveries})
        return Check("every call was said", self.load.is_done and said == len(self.plan.calls), f"{said:,} calls")

    def judged(self, settled_after_s: float, took_s: float) -> Result:
        facts = gather(self.here, self.load.deliveries, took_s)
        return Result(
            plan=self.plan,
            facts=facts,
            faults=tuple(self.monkey.made),
            takeovers=tuple(self.monkey.takeovers),
            intrusions=dict(self.intruder.sent),
            most_in_flight=self.watch.most,
            risen=self.risen,
            settled_after_s=settled_after_s,
            took_s=took_s,
            checks=(self.all_said(), *judge(facts, self.monkey, self.watch)),
        )


def run(plan: Plan, directory: Path, tell: Callable[[str], None], *, workers: int = 3, concurrency: int = 8) -> Result:
    """On a new stack in ``directory``. From the main thread only."""
    with stage(directory, workers=workers, concurrency=concurrency) as here:
        return Run(here, plan, tell).carry_out()
