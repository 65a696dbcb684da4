"""Doorbells that no dispatcher rang, pushed straight into Redis under a running system."""

import json
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.stack.conftest import RunningStack, recordings
from tests.stack.wiretap import QUEUE, Wiretap, doorbell, edited, encoded, wiretap
from tests.waiting import until
from workers.grants import GrantKey, mint, vouch

pytestmark = pytest.mark.stack
TABLES = (
    "organizations",
    "call_logs",
    "recording_upload_queue",
    "failed_recording_uploads",
    "recording_upload_metrics",
)


class Scene:
    """A victim with an upload that is due and dispatched, so that nothing but the grant protects it; and a wiretap."""

    def __init__(self, stack: RunningStack, tap: Wiretap) -> None:
        self.stack, self.tap = stack, tap
        self.key = GrantKey.parse(stack.roles["dispatcher"]["RECORDINGS_GRANT_KEY"])
        self.org, self.own = stack.organisation(), stack.organisation()
        # Suspended, so that the true dispatcher leaves the row alone.
        stack.admin.execute("UPDATE organizations SET status = 'suspended' WHERE id = %s", (self.org,))
        self.upload = stack.enqueue(self.org, stack.recording(10_000)[0])
        stack.admin.execute(
            "UPDATE recording_upload_queue SET dispatched_until = now() + interval '1 hour' WHERE id = %s",
            (self.upload,),
        )
        self.began = self.now()
        self.before = self.rows()
        self.pids = [stack.pid(f"worker{number}") for number in (1, 2)]
        stack.admin.execute("DELETE FROM app.refused_grants")

    def now(self) -> Any:
        return self.stack.admin.execute("SELECT clock_timestamp()").fetchone()[0]  # type: ignore[index]

    def rows(self) -> list[Any]:
        """Everything there is of the victim."""
        return [
            self.stack.admin.execute(
                f"SELECT to_jsonb(t) FROM {table} AS t WHERE {'id' if table == 'organizations' else 'org_id'} = %s",
                (self.org,),
            ).fetchall()
            for table in TABLES
        ]

    def grant(
        self,
        key: GrantKey | None = None,
        *,
        org: UUID | None = None,
        row: UUID | None = None,
        also: Sequence[UUID] = (),
    ) -> str:
        return mint(
            key or self.key,
            org_id=org or self.org,
            subject=row or self.upload,
            also=also,
            now_s=time.time(),
            lifetime_s=60,
        )

    def memo(self, key: GrantKey, grant: str) -> tuple[str, str]:
        return vouch(key, grant, org_id=self.org, now_s=time.time(), lifetime_s=60)

    def forged(self, grant: str = "", *also: UUID, **headers: Any) -> dict[str, Any]:
        grant = grant or self.grant(GrantKey(self.key.kid, b"g" * 32), also=also)
        return doorbell(self.org, self.upload, grant, *also, **headers)

    def audited(self) -> list[dict[str, Any]]:
        """As an operator reads it."""
        with psycopg.connect(self.stack.roles["ops"]["DATABASE_URL"]) as operator:
            query = (
                "SELECT org_id, actor, detail FROM audit_log WHERE action = 'grant_refused' AND at >= %s ORDER BY id"
            )
            rows = operator.execute(query, (self.began,)).fetchall()
        assert all(row[:2] == (None, "recording_worker") for row in rows)
        return [row[2] for row in rows]

    def counted(self) -> dict[str, int]:
        return dict(self.stack.admin.execute("SELECT kind, refused FROM app.refused_grants").fetchall())

    def untouched(self) -> None:
        """The victim's rows, and the workers, who still serve; nothing of the message is left in Redis."""
        assert self.rows() == self.before
        url, _ = self.stack.recording(5_000)
        assert self.stack.settled(self.stack.enqueue(self.own, url))["status"] == "completed"
        assert [self.stack.pid(f"worker{number}") for number in (1, 2)] == self.pids
        assert self.rows() == self.before
        until(lambda: self.tap.client.llen(QUEUE) == 0)


@pytest.fixture
def scene(stack: RunningStack) -> Iterator[Scene]:
    with wiretap(stack.roles["admin"]["REDIS_URL"]) as tap:
        yield Scene(stack, tap)


def test_another_organisations_ids_under_a_grant_of_another_key_change_nothing_and_leave_one_audit_row(
    scene: Scene,
) -> None:
    message = scene.forged()
    scene.tap.push(message)
    (detail,) = until(scene.audited)
    assert detail.pop("worker").startswith("worker")
    assert detail == {
        "kind": "forged",
        "kid": scene.key.kid,
        "task": "recordings.upload",
        "so_far_this_hour": 1,
        "claimed_org_id": str(scene.org),
        "claimed_upload_id": str(scene.upload),
    }
    scene.untouched()
    assert len(scene.audited()) == 1
    assert scene.counted() == {"forged": 1}
    shown = json.loads(recordings("status", "--state", str(scene.stack.state), "--json").stdout)["refused_doorbells"]
    assert [(row["kind"], row["last_day"]) for row in shown] == [("forged", 1)]
    read = recordings("status", "--state", str(scene.stack.state)).stdout
    assert "1 forged" in " ".join(read.split())


def test_the_row_would_have_been_taken_with_the_dispatchers_own_grant(scene: Scene) -> None:
    """What the others rest on: only the grant is wrong with them."""
    scene.tap.push(scene.forged(scene.grant()))
    assert scene.stack.settled(scene.upload)["status"] == "completed"
    assert scene.audited() == []


def test_what_the_dispatcher_says_of_its_grant_goes_all_the_way_to_postgresql(scene: Scene) -> None:
    """Beside no grant at all it is believed, for only the key's holder can say it: nothing else proves that it came."""
    scene.tap.push(scene.forged("none", task_memo=scene.memo(scene.key, "none")))
    assert scene.stack.settled(scene.upload)["status"] == "completed"
    assert scene.audited() == []


REFUSED: dict[str, tuple[str, Any]] = {
    "no grant": ("missing", lambda s: s.forged(task_grant="")),
    "no grant at all": ("forged", lambda s: s.forged("not.a.grant")),
    "a key that nobody has": ("unknown_key", lambda s: s.forged(s.grant(GrantKey.generate()))),
    "a memo by another key of that name": (
        "forged",
        lambda s: s.forged("none", task_memo=s.memo(GrantKey(s.key.kid, b"g" * 32), "none")),
    ),
    "an edited grant": ("forged", lambda s: s.forged(s.grant()[:-6] + "AAAAAA")),
    "a good grant of one's own, the other's ids": ("misdirected", lambda s: s.forged(s.grant(org=s.own))),
    "a good grant for another upload": ("misdirected", lambda s: s.forged(s.grant(row=uuid4()))),
    "several under a forged grant": ("forged", lambda s: s.forged("", uuid4(), uuid4())),
    "several under a grant for one": ("misdirected", lambda s: s.forged(s.grant(), uuid4())),
    "one of several that a grant names": ("misdirected", lambda s: s.forged(s.grant(also=[uuid4()]))),
    "the other's id behind one's own": (
        "misdirected",
        lambda s: doorbell(s.own, s.own, s.grant(org=s.own, row=s.own), s.upload),
    ),
    "one twice": ("malformed", lambda s: s.forged(s.grant(also=[s.upload]), s.upload)),
    "more than fit": ("malformed", lambda s: s.forged("", *(uuid4() for _ in range(10)))),
    "the other's id in an edited body": (
        "misdirected",
        lambda s: edited(
            doorbell(s.own, s.upload, s.grant(org=s.own)),
            body=encoded([[], {"org_id": str(s.org), "upload_ids": [str(s.upload)]}, {}]),
        ),
    ),
    "not JSON": ("malformed", lambda s: b"\x80\x04garbage{"),
    "JSON of another shape": ("malformed", lambda s: [1, {"__type__": "datetime", "__value__": "x"}]),
    "no id": ("malformed", lambda s: s.forged(s.grant(), id=None)),
    "an unknown task": ("malformed", lambda s: s.forged(s.grant(), task="os.system")),
    "arguments of wrong types": (
        "malformed",
        lambda s: edited(s.forged(s.grant()), body=encoded([[], {"org_id": 7, "upload_ids": "all"}, {}])),
    ),
    "a body that is not JSON": ("malformed", lambda s: edited(s.forged(s.grant()), body="AAAA")),
    "a huge body": ("malformed", lambda s: edited(s.forged(s.grant()), body="A" * 30_000_000)),
    "pickle": (
        "malformed",
        lambda s: edited(s.forged(s.grant()), **{"content-type": "application/x-python-serialize"}),
    ),
    "yaml": ("malformed", lambda s: edited(s.forged(s.grant()), **{"content-type": "application/x-yaml"})),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_message_that_is_wrong_is_refused_once_and_the_workers_go_on(scene: Scene, name: str) -> None:
    kind, make = REFUSED[name]
    scene.tap.push(make(scene))
    (detail,) = until(scene.audited)
    assert detail["kind"] == kind
    scene.untouched()
    assert scene.counted() == {kind: 1}
    assert len(scene.audited()) == 1


def test_a_sweep_is_refused_like_an_upload(scene: Scene) -> None:
    def sweep(grant: str) -> dict[str, Any]:
        message = doorbell(scene.org, scene.upload, grant, task="recordings.sweep")
        return edited(message, body=encoded([[], {"org_id": str(scene.org)}, {}]))

    by_another_key = scene.grant(GrantKey(scene.key.kid, b"g" * 32), row=scene.org)
    wrong = [sweep(by_another_key), sweep(scene.grant()), "garbage"]
    scene.tap.push(*wrong, queue="rec:maintenance")
    scene.tap.push(sweep(scene.grant(row=scene.org)), queue="rec:upload")
    until(lambda: len(scene.audited()) == 4)
    scene.untouched()
    assert scene.counted() == {"forged": 1, "misdirected": 1, "malformed": 2}


def is_heard_by_both(scene: Scene, said: str) -> bool:
    return int(scene.tap.client.publish("rec:/0.celery.pidbox", said)) >= 2


def test_nonsense_on_the_control_channel_ends_no_worker(scene: Scene) -> None:
    body = {"body": "!!", "headers": {}, "properties": {"delivery_tag": "x", "delivery_info": {}}}
    listed = {"body": encoded([]), "properties": {"delivery_tag": "x", "body_encoding": "base64", "delivery_info": {}}}
    for nonsense in ("garbage{", "[]", "{}", "7", json.dumps(body), json.dumps(body | listed)):
        # Celery subscribes anew after each; both workers have to hear it.
        until(partial(is_heard_by_both, scene, nonsense))
    scene.untouched()


def test_a_captured_doorbell_of_a_finished_upload_changes_nothing_however_often_it_is_rung(scene: Scene) -> None:
    upload = scene.stack.enqueue(scene.own, scene.stack.recording(10_000)[0])
    captured = scene.tap.published(upload)
    done = scene.stack.settled(upload)
    attempts = "SELECT count(*) FROM recording_upload_metrics WHERE upload_id = %s"
    scene.tap.push(*[captured] * 20)
    until(lambda: scene.stack.logs().count(f'"upload_id": "{upload}", "event": "doorbell_stale"') == 20)
    scene.untouched()
    assert scene.stack.row(upload) == done
    assert scene.stack.admin.execute(attempts, (upload,)).fetchone() == (1,)
    assert scene.audited() == []
    assert scene.counted() == {}


def test_a_late_doorbell_is_no_alarm_and_its_upload_is_rung_for_again(scene: Scene) -> None:
    past = mint(scene.key, org_id=scene.org, subject=scene.upload, now_s=time.time() - 100, lifetime_s=60)
    scene.tap.push(scene.forged(past))
    until(lambda: scene.counted() == {"late": 1})
    scene.untouched()
    assert scene.audited() == []
    scene.stack.admin.execute(
        "UPDATE recording_upload_queue SET dispatched_until = now() WHERE id = %s", (scene.upload,)
    )
    scene.stack.admin.execute("UPDATE organizations SET status = 'active' WHERE id = %s", (scene.org,))
    assert scene.stack.settled(scene.upload)["status"] == "completed"


def test_a_flood_of_forgeries_leaves_a_handful_of_rows_and_working_workers(scene: Scene) -> None:
    forged = [scene.forged() for _ in range(1_500)]
    scene.tap.push(*forged, *["garbage"] * 1_500)
    until(lambda: scene.counted() == {"forged": 1_500, "malformed": 1_500}, timeout_s=120)
    scene.untouched()
    written = [(detail["kind"], detail["so_far_this_hour"]) for detail in scene.audited()]
    steps = [*range(1, 21), 100, 1_000]
    assert sorted(written) == sorted((kind, step) for kind in ("forged", "malformed") for step in steps)
