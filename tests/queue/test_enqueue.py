"""The whole producer interface: one call, in the caller's own transaction."""

from concurrent.futures import ThreadPoolExecutor
from random import Random
from threading import Barrier, Event
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.database import Database
from tests.desk import COPIED, Desk
from tests.isolation.test_grants import TABLES
from tests.waiting import until
from workers.enqueue import Enqueued, enqueue

URL = "https://provider.example/one.wav"
ARGUMENTS: dict[str, Any] = {"provider": "vapi", "provider_call_id": "call-1", "source_url": URL}


def call_function(connection: psycopg.Connection[Any], **arguments: Any) -> Any:
    """As any language would: by name."""
    names = ", ".join(f"{name} => %({name})s" for name in arguments)
    return connection.execute(f"SELECT * FROM enqueue_recording({names})", arguments).fetchone()


def rows(desk: Desk) -> int:
    return int(desk.database.one("SELECT count(*) FROM recording_upload_queue WHERE org_id = %s", desk.org_id))


def test_a_recording_is_enqueued_with_its_call(desk: Desk) -> None:
    enqueued = desk.database.enqueue(desk.org_id, **ARGUMENTS, recording_id="rec-1", priority=2)
    assert enqueued.created
    row, call = desk.row(enqueued.upload_id), desk.call(enqueued.upload_id)
    assert (row["status"], row["attempt"], row["failures"], row["priority"]) == ("pending", 0, 0, 2)
    assert (row["source_url"], row["recording_id"], row["call_id"]) == (URL, "rec-1", enqueued.call_id)
    assert (call["id"], call["provider_call_id"], call["recording_status"]) == (enqueued.call_id, "call-1", "pending")


def test_a_call_with_one_recording_lends_it_its_id(desk: Desk) -> None:
    assert desk.row(desk.enqueue(**ARGUMENTS))["recording_id"] == "call-1"
    assert desk.row(desk.enqueue(**ARGUMENTS, recording_id=""))["recording_id"] == "call-1"


def test_enqueueing_twice_is_enqueueing_once_with_a_fresher_url(desk: Desk) -> None:
    first = desk.database.enqueue(desk.org_id, **ARGUMENTS)
    second = desk.database.enqueue(desk.org_id, **(ARGUMENTS | {"source_url": URL + "?fresh", "priority": 0}))
    assert second == Enqueued(first.call_id, first.upload_id, created=False)
    row = desk.row(first.upload_id)
    assert (row["source_url"], row["priority"]) == (URL + "?fresh", 5)
    assert rows(desk) == 1


def test_one_call_can_have_several_recordings(desk: Desk) -> None:
    one, two = (desk.database.enqueue(desk.org_id, **ARGUMENTS, recording_id=name) for name in ("a", "b"))
    assert one.call_id == two.call_id
    assert one.upload_id != two.upload_id


def test_the_same_ids_of_two_organisations_are_two_recordings(desk: Desk) -> None:
    other = desk.database.enqueue(desk.database.organisation(), **ARGUMENTS)
    mine = desk.database.enqueue(desk.org_id, **ARGUMENTS)
    assert mine.created
    assert (mine.call_id, mine.upload_id) != (other.call_id, other.upload_id)


def test_eight_at_once_make_one_row_and_one_call(desk: Desk) -> None:
    start = Barrier(8)

    def enqueue_one(number: int) -> Enqueued:
        with desk.database.connect("call_handler") as connection:
            start.wait()
            return enqueue(connection, org_id=desk.org_id, **(ARGUMENTS | {"source_url": f"{URL}?{number}"}))

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(enqueue_one, range(8)))
    assert sorted(enqueued.created for enqueued in made) == [False] * 7 + [True]
    assert len({(enqueued.call_id, enqueued.upload_id) for enqueued in made}) == 1
    assert rows(desk) == 1
    assert desk.database.one("SELECT count(*) FROM call_logs WHERE org_id = %s", desk.org_id) == 1


def test_a_transaction_that_is_rolled_back_leaves_nothing(desk: Desk) -> None:
    with desk.database.connect("call_handler") as connection, connection.transaction(force_rollback=True):
        enqueue(connection, org_id=desk.org_id, **ARGUMENTS)
    assert rows(desk) == 0
    assert desk.database.one("SELECT count(*) FROM call_logs WHERE org_id = %s", desk.org_id) == 0


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"org_id": None}, "org_id is missing"),
        ({"provider": None}, "provider must be a short lower-case name"),
        ({"provider": "Twilio"}, "provider must be a short lower-case name"),
        ({"provider": "x" * 33}, "provider must be a short lower-case name"),
        ({"provider_call_id": None}, "provider_call_id is missing"),
        ({"provider_call_id": ""}, "provider_call_id is missing"),
        ({"provider_call_id": "x" * 256}, "at most 255 characters"),
        ({"recording_id": "x" * 256}, "at most 255 characters"),
        ({"source_url": None}, "source_url must start with https://"),
        ({"source_url": "ftp://a.example/x"}, "source_url must start with https://"),
        ({"source_url": "https://"}, "source_url must start with https://"),
        ({"source_url": "https://a.example/" + "x" * 4096}, "at most 4096 characters"),
        ({"priority": 10}, "priority must be 0"),
        ({"priority": -1}, "priority must be 0"),
        ({"duration_s": -1}, "duration_s must not be negative"),
        ({"direction": "sideways"}, "direction must be inbound or outbound"),
    ],
)
def test_a_bad_argument_is_refused_with_a_word_on_what_to_change(desk: Desk, wrong: dict[str, Any], says: str) -> None:
    arguments = {"org_id": desk.org_id} | ARGUMENTS | wrong
    with desk.database.connect("call_handler") as connection:
        with pytest.raises(psycopg.errors.InvalidParameterValue, match=says) as raised:
            call_function(connection, **arguments)
        assert "a.example" not in str(raised.value)
    assert rows(desk) == 0


def test_an_unknown_organisation_is_refused_with_a_hint(desk: Desk) -> None:
    unknown = uuid4()
    with desk.database.connect("call_handler") as connection:
        with pytest.raises(psycopg.errors.ForeignKeyViolation, match=str(unknown)) as raised:
            call_function(connection, org_id=unknown, **ARGUMENTS)
    assert raised.value.diag.message_hint
    assert "recordings orgs create" in raised.value.diag.message_hint


def test_everything_known_of_a_call_can_be_named_and_a_later_delivery_completes_it(desk: Desk) -> None:
    with desk.database.connect("call_handler") as connection:
        first = call_function(
            connection, org_id=desk.org_id, **ARGUMENTS, direction="inbound", from_number="+15550100", duration_s=30
        )
        call_function(connection, org_id=desk.org_id, **ARGUMENTS, to_number="+15550199", duration_s=31)
    call = desk.call(first[1])
    assert (call["direction"], call["from_number"], call["to_number"]) == ("inbound", "+15550100", "+15550199")
    assert call["duration_s"] == 31


def test_a_redelivery_leaves_a_stored_recording_alone(desk: Desk) -> None:
    upload = desk.claimed(**ARGUMENTS)
    desk.worker().complete(desk.grant, upload, COPIED, total_ms=1)
    before = desk.everything(upload.id)
    again = desk.database.enqueue(desk.org_id, **(ARGUMENTS | {"source_url": URL + "?again"}))
    assert again == Enqueued(upload.call_id, upload.id, created=False)
    assert desk.everything(upload.id) == before


def test_a_redelivery_leaves_the_attempt_at_hand_alone(desk: Desk) -> None:
    upload = desk.claimed(**ARGUMENTS)
    desk.enqueue(**ARGUMENTS)
    assert desk.row(upload.id)["status"] == "processing"
    desk.worker().complete(desk.grant, upload, COPIED, total_ms=1)


def test_a_new_recording_notifies_the_dispatcher_and_a_known_one_does_not(desk: Desk) -> None:
    with desk.database.connect("recording_dispatcher") as listener:
        listener.execute("LISTEN recording_upload_queue")
        desk.enqueue(**ARGUMENTS)
        assert [heard.payload for heard in listener.notifies(timeout=10, stop_after=1)] == [""]
        with desk.database.connect("call_handler") as connection:
            enqueue(connection, org_id=desk.org_id, **ARGUMENTS)
            connection.execute("NOTIFY recording_upload_queue, 'the end'")
        assert [heard.payload for heard in listener.notifies(timeout=10, stop_after=1)] == ["the end"]


def test_a_transaction_of_many_notifies_once(desk: Desk) -> None:
    with desk.database.connect("recording_dispatcher") as listener:
        listener.execute("LISTEN recording_upload_queue")
        with desk.database.connect("call_handler") as connection:
            with connection.transaction():
                for number in range(5):
                    enqueue(connection, org_id=desk.org_id, **(ARGUMENTS | {"provider_call_id": f"many-{number}"}))
            connection.execute("NOTIFY recording_upload_queue, 'the end'")
        assert [heard.payload for heard in listener.notifies(timeout=10, stop_after=2)] == ["", "the end"]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("statement", ["SELECT FROM {}", "INSERT INTO {} DEFAULT VALUES", "DELETE FROM {}"])
def test_the_call_handler_can_do_nothing_but_enqueue(desk: Desk, table: str, statement: str) -> None:
    with desk.database.connect("call_handler") as connection:
        # Also not with the context that the function itself works in.
        connection.execute("SELECT set_config('app.enqueue_org_id', %s, false)", (str(desk.org_id),))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement.format(table))


def test_nobody_else_can_enqueue(desk: Desk) -> None:
    for login in ("recording_worker", "recording_dispatcher", "recording_ops", "authenticator"):
        with desk.database.connect(login) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            call_function(connection, org_id=desk.org_id, **ARGUMENTS)


def test_a_known_recording_keeps_its_call_whatever_call_a_later_delivery_names(desk: Desk) -> None:
    first = desk.database.enqueue(desk.org_id, **ARGUMENTS, recording_id="shared")
    second = desk.database.enqueue(desk.org_id, **(ARGUMENTS | {"provider_call_id": "call-2"}), recording_id="shared")
    assert (second.call_id, second.upload_id) == (first.call_id, first.upload_id)
    assert isinstance(second.call_id, UUID)


def test_a_redelivery_while_the_upload_is_being_settled_waits_instead_of_deadlocking(database: Database) -> None:
    """Settling locks the queue's row and then the call's; so does enqueueing."""
    org = database.organisation()
    first = database.enqueue(org, provider_call_id="c")
    with database.connect() as settling, ThreadPoolExecutor(1) as pool, settling.transaction():
        settling.execute("UPDATE recording_upload_queue SET priority = 4 WHERE id = %s", (first.upload_id,))
        again = pool.submit(database.enqueue, org, provider_call_id="c")
        until(lambda: database.one("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))
        settling.execute("UPDATE call_logs SET recording_status = 'processing' WHERE id = %s", (first.call_id,))
    assert again.result(timeout=10) == Enqueued(first.call_id, first.upload_id, created=False)


def test_a_known_recording_of_another_call_leaves_that_call_waiting_for_nothing(database: Database) -> None:
    org = database.organisation()
    first = database.enqueue(org, provider_call_id="c1", recording_id="r")
    assert database.enqueue(org, provider_call_id="c2", recording_id="r").call_id == first.call_id
    assert database.all("SELECT provider_call_id, recording_status FROM call_logs ORDER BY 1") == [
        ("c1", "pending"),
        ("c2", None),
    ]


def test_a_storm_of_deliveries_beside_a_settling_worker_deadlocks_nobody(database: Database) -> None:
    """Twelve callers of the same few calls, and a settler that locks a row and then its call."""
    org = database.organisation()
    done = Event()

    def deliver(seed: int) -> int:
        chance = Random(seed)
        with database.connect("call_handler") as connection:
            for number in range(40):
                call = f"c{number // 8}-{chance.randrange(3)}"
                url = f"{URL}?{chance.random()}"
                enqueue(connection, org_id=org, provider="https", provider_call_id=call, source_url=url)
        return 1

    def settle() -> int:
        rows = 0
        with database.connect() as connection:
            while not done.is_set():
                found = connection.execute(
                    "SELECT id, call_id FROM recording_upload_queue ORDER BY random() LIMIT 1"
                ).fetchone()
                if found:
                    with connection.transaction():
                        connection.execute("UPDATE recording_upload_queue SET priority = 3 WHERE id = %s", found[:1])
                        connection.execute("UPDATE call_logs SET legal_hold = false WHERE id = %s", found[1:])
                    rows += 1
        return rows

    with ThreadPoolExecutor(13) as pool:
        settling = pool.submit(settle)
        try:
            assert sum(pool.map(deliver, range(12))) == 12
        finally:
            done.set()
        assert settling.result() > 0
    assert database.one("SELECT count(*) = count(DISTINCT recording_id) FROM recording_upload_queue")
