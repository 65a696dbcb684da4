"""Makes the planned faults, undoes those that end, and measures what it takes for the next dispatcher to lead."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from redis import Redis
from redis.exceptions import RedisError

from tests.faults.eyes import Eyes
from tests.faults.plan import Fault, Plan
from tests.faults.stage import Stage, signal_process
from workers.embedded.process import Process

TAKEOVER_LIMIT_S = 5.0
GIVE_UP_S = 15.0
_TERMINATE = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND usename <> 'postgres' AND random() < %s
"""


@dataclass(frozen=True, slots=True)
class Made:
    """A fault as it was made."""

    at_s: float
    kind: str
    detail: str


class Monkey:
    """From the main thread. ``tell`` hears each fault as it is made."""

    def __init__(self, stage: Stage, plan: Plan, tell: Callable[[str], None]) -> None:
        self.stage, self.tell = stage, tell
        self.eyes = Eyes(stage.admin_url)
        self.due = list(plan.faults)
        self.made: list[Made] = []
        self.takeovers: list[float] = []
        self.undo: list[tuple[float, Callable[[], None]]] = []
        self.storms = {"s3": 0, "postgres": 0}
        self.slow = self.forgetful = False

    def step(self, now_s: float) -> None:
        """Undo what is over and make what is due."""
        self.undo_until(now_s)
        self.dawdle(now_s)
        while self.due and self.due[0].at_s <= now_s:
            fault = self.due.pop(0)
            detail = self.make(fault, now_s)
            self.made.append(Made(now_s, fault.kind, detail))
            self.tell(f"{now_s:6.1f} s  {fault.kind:<19} {detail}")

    def undo_until(self, now_s: float) -> None:
        for entry in [entry for entry in self.undo if entry[0] <= now_s]:
            self.undo.remove(entry)
            entry[1]()

    def heal(self) -> None:
        """Everything that lasts ends now."""
        self.undo_until(float("inf"))
        self.stage.proxy.heal()
        self.stage.database.heal()
        self.eyes.close()

    def make(self, fault: Fault, now_s: float) -> str:
        kind, _, how = fault.kind.partition("_")
        match kind:
            case "worker":
                return self.hit_worker(how, fault, now_s)
            case "leader":
                return self.hit_leader(how, fault, now_s)
            case "redis":
                return self.hit_redis(how)
            case "postgres":
                return self.hit_postgres(how, fault, now_s)
        return self.hit_s3(how, fault, now_s)

    def hit_worker(self, how: str, fault: Fault, now_s: float) -> str:
        running = sorted(self.stage.processes("worker").items())
        if not running:
            return "none runs"
        name, process = running[int(fault.pick * len(running))]
        return self.strike(name, process, how, fault, now_s)

    def strike(self, name: str, process: Process, how: str, fault: Fault, now_s: float) -> str:
        if how == "kill":
            process.signal(signal.SIGKILL)
            process.wait(within_s=5.0)
            return name
        signal_process(process.pid, signal.SIGSTOP)
        self.undo.append((now_s + fault.lasts_s, lambda: process.signal(signal.SIGCONT)))
        return f"{name} for {fault.lasts_s:.1f} s"

    def hit_leader(self, how: str, fault: Fault, now_s: float) -> str:
        leading = self.stage.leading(self.eyes)
        if leading is None:
            return "nobody leads at this moment"
        name, process, backend = leading
        others = {port for port in self.eyes.dispatchers() if port} - {(self.eyes.leader() or (0, 0))[1]}
        began = time.monotonic()
        struck = self.strike(name, process, how, fault, now_s)
        if how != "kill":
            return struck
        took_s = self.takeover(backend, began)
        if not others:
            return f"{struck}; nobody stood by"
        self.takeovers.append(took_s)
        return f"{struck}; the next one led after {took_s:.2f} s"

    def takeover(self, backend: int, began: float) -> float:
        """Seconds from the kill until another connection holds the lock."""
        while (took_s := time.monotonic() - began) < GIVE_UP_S:
            self.stage.stack.tend()
            leader = self.eyes.leader()
            if leader is not None and leader[0] != backend:
                return took_s
            time.sleep(0.02)
        return took_s

    def hit_redis(self, how: str) -> str:
        server = self.stage.stack.servers.processes["valkey"]
        if how in ("kill", "term"):
            server.signal(signal.SIGKILL if how == "kill" else signal.SIGTERM)
            return "restarted by the supervisor"
        try:
            with Redis.from_url(self.stage.stack.servers.redis_url, socket_timeout=3.0) as client:
                if how == "flush":
                    waiting = client.llen("rec:upload")
                    client.flushall()
                    return f"{waiting} doorbells gone"
                return f"{client.client_kill_filter(_type='normal', skipme=True)} connections"
        except RedisError as error:
            return f"was away already ({type(error).__name__})"

    def hit_postgres(self, how: str, fault: Fault, now_s: float) -> str:
        if how == "terminate":
            rows = self.eyes.ask(_TERMINATE, 0.3 + 0.7 * fault.pick)
            return f"{rows[0][0]} connections" if rows else "was away already"
        if how in ("fast", "immediate"):
            number = signal.SIGINT if how == "fast" else signal.SIGQUIT
            self.stage.stack.servers.processes["postgres"].signal(number)
            return "restarted by the supervisor"
        if how == "silent":
            self.stage.database.stall()
        self.forgetful = how == "unheard"
        self.lasts("postgres", fault, now_s)
        return f"{'COMMITs of workers unheard, ' if self.forgetful else ''}for {fault.lasts_s:.1f} s"

    def hit_s3(self, how: str, fault: Fault, now_s: float) -> str:
        told = self.break_s3(how, fault)
        self.lasts("s3", fault, now_s)
        return f"{told}for {fault.lasts_s:.1f} s"

    def lasts(self, what: str, fault: Fault, now_s: float) -> None:
        """One way of failing at a time: the next one takes over from the one before."""
        self.storms[what] += 1
        storm = self.storms[what]

        def over() -> None:
            if self.storms[what] != storm:
                return
            if what == "s3":
                self.slow = False
                self.stage.proxy.heal()
            else:
                self.forgetful = False
                self.stage.database.heal()

        self.undo.append((now_s + fault.lasts_s, over))

    def break_s3(self, how: str, fault: Fault) -> str:
        proxy = self.stage.proxy
        self.slow = how == "slow"
        match how:
            case "down":
                proxy.cut()
            case "silent":
                proxy.stall()
            case "500":
                proxy.refuse(500, "InternalError")
            case "503":
                proxy.refuse(503, "SlowDown")
            case "cut":
                sent_bytes = round(1000 * 300**fault.pick)
                proxy.cut_after(sent_bytes)
                return f"after {sent_bytes:,} bytes, "
            case "unheard":
                proxy.lose_answer(b"PUT /", b" 200 ")
                return "one answer to a PUT lost, "
        return ""

    def dawdle(self, now_s: float) -> None:
        """Slow: a quarter of the time bytes pass, three quarters not. Forgetful: the next COMMIT is unheard, too."""
        if self.forgetful and self.stage.database.has_lost:
            self.stage.database.lose_answer(b"COMMIT", b"COMMIT")
        if not self.slow:
            return
        if now_s % 0.8 < 0.2:
            self.stage.proxy.heal()
        else:
            self.stage.proxy.stall()
