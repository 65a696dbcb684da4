"""The gate of a worker: a doorbell as the dispatcher publishes it passes, anything else becomes a report of itself."""

import base64
import copy
import json
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any
from uuid import UUID

import pytest
from celery import Celery
from hypothesis import given, settings
from hypothesis import strategies as st

from schema.grant import Grant
from workers import intake
from workers.doorbell import (
    DOWNLOAD_QUEUE,
    DOWNLOAD_TASK,
    GRANT_HEADER,
    MAINTENANCE_QUEUE,
    MEMO_HEADER,
    RENDITION_QUEUE,
    RENDITION_TASK,
    SWEEP_TASK,
    UPLOAD_QUEUE,
    UPLOAD_TASK,
)
from workers.grants import GrantKey, mint
from workers.intake import REFUSED_TASK, Refused, take

ORG, OTHER, ROW, STRANGER = (UUID(int=number) for number in (1, 2, 3, 4))
KEY = GrantKey("k", b"s" * 32)


def grant(org_id: UUID = ORG, subject: UUID = ROW, also: Sequence[UUID] = ()) -> str:
    return mint(KEY, org_id=org_id, subject=subject, also=also, now_s=1000, lifetime_s=60)


SIGNED = grant()


def published(
    task: str = UPLOAD_TASK,
    queue: str = UPLOAD_QUEUE,
    signed: str = SIGNED,
    kwargs: Mapping[str, Any] = {"org_id": str(ORG), "upload_ids": [str(ROW)]},
) -> dict[str, Any]:
    """What Celery puts into the broker for it."""
    with Celery(broker="memory://", set_as_current=False) as app:
        app.config_from_object("celeryconfig")
        app.conf.update(broker_url="memory://", broker_transport_options={})
        app.send_task(task, queue=queue, kwargs=dict(kwargs), headers={GRANT_HEADER: signed})
        with app.connection_for_read() as connection:
            channel: Any = connection.channel()
            raw: dict[str, Any] = channel._get(queue)
    return raw


RAW = published()


def body(message: Mapping[str, Any]) -> Any:
    return json.loads(base64.b64decode(message["body"]))


def refused(message: Mapping[str, Any]) -> Refused:
    assert message["headers"]["task"] == REFUSED_TASK
    return Refused.of(body(message)[1])


def changed(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(RAW) | changes


def with_header(**headers: Any) -> dict[str, Any]:
    return changed(headers=RAW["headers"] | headers)


def with_body(content: Any) -> dict[str, Any]:
    return changed(body=base64.b64encode(json.dumps(content).encode()).decode())


def with_kwargs(**kwargs: Any) -> dict[str, Any]:
    return with_body([[], kwargs, {}])


def without(part: str) -> dict[str, Any]:
    return {name: value for name, value in RAW.items() if name != part}


def test_a_doorbell_passes_with_its_ids_and_its_grant() -> None:
    taken = take(RAW, UPLOAD_QUEUE)
    assert body(taken) == [[], {"org_id": str(ORG), "upload_ids": [str(ROW)]}, {}]
    assert (taken["headers"]["task"], taken["headers"]["id"]) == (UPLOAD_TASK, RAW["headers"]["id"])
    assert json.loads(json.dumps(taken))["headers"][GRANT_HEADER] == SIGNED


BATCH = [UUID(int=number) for number in range(10, 20)]


def batch(ids: Sequence[object] = BATCH, signed: Sequence[UUID] = BATCH) -> dict[str, Any]:
    """A doorbell for ``ids`` under a grant for ``signed``."""
    return published(
        signed=grant(subject=signed[0], also=signed[1:]),
        kwargs={"org_id": str(ORG), "upload_ids": [str(upload_id) for upload_id in ids]},
    )


@pytest.mark.parametrize("count", [2, 10])
def test_a_doorbell_of_several_passes_with_the_grant_that_names_them_all(count: int) -> None:
    taken = take(batch(BATCH[:count], BATCH[:count]), UPLOAD_QUEUE)
    assert body(taken)[1] == {"org_id": str(ORG), "upload_ids": [str(row) for row in BATCH[:count]]}
    again = take(json.loads(json.dumps(taken)), UPLOAD_QUEUE)
    assert body(again) == body(taken)


@pytest.mark.parametrize(
    "ids",
    [BATCH[:1], BATCH[:9], BATCH[1:], [*BATCH[1:], BATCH[0]], [*BATCH[:9], STRANGER], [STRANGER, *BATCH[1:]]],
    ids=["the first alone", "all but one", "all but the first", "in another order", "one exchanged", "another first"],
)
def test_a_grant_for_several_is_for_exactly_these(ids: list[UUID]) -> None:
    assert refused(take(batch(ids), UPLOAD_QUEUE)).seen == "misdirected"


def test_a_grant_for_one_is_not_for_several() -> None:
    assert refused(take(batch(BATCH, BATCH[:1]), UPLOAD_QUEUE)).seen == "misdirected"


def test_a_grant_for_several_uploads_is_for_no_sweep_and_no_download() -> None:
    raw = published(SWEEP_TASK, MAINTENANCE_QUEUE, grant(subject=ORG, also=BATCH), {"org_id": str(ORG)})
    assert refused(take(raw, MAINTENANCE_QUEUE)).seen == "misdirected"
    named = {"org_id": str(ORG), "download_id": str(ROW)}
    raw = published(DOWNLOAD_TASK, DOWNLOAD_QUEUE, grant(also=BATCH), named)
    assert refused(take(raw, DOWNLOAD_QUEUE)).seen == "misdirected"


@pytest.mark.parametrize(
    "ids",
    [[*BATCH, STRANGER], [ROW, ROW], [ROW, STRANGER, STRANGER], [ROW, None], [ROW, STRANGER.hex]],
    ids=["eleven", "the first twice", "another twice", "one that is none", "one in another form"],
)
def test_a_list_that_no_dispatcher_writes_is_no_doorbell(ids: list[object]) -> None:
    assert refused(take(batch(ids), UPLOAD_QUEUE)).seen == "malformed"


def test_a_doorbell_of_a_sweep_passes_in_its_own_queue_only() -> None:
    raw = published(SWEEP_TASK, MAINTENANCE_QUEUE, grant(subject=ORG), {"org_id": str(ORG)})
    assert take(raw, MAINTENANCE_QUEUE)["headers"]["task"] == SWEEP_TASK
    assert refused(take(raw, UPLOAD_QUEUE)).seen == "malformed"
    assert refused(take(RAW, MAINTENANCE_QUEUE)).seen == "malformed"


def test_a_doorbell_of_a_download_passes_in_its_own_queue_only() -> None:
    raw = published(DOWNLOAD_TASK, DOWNLOAD_QUEUE, kwargs={"org_id": str(ORG), "download_id": str(ROW)})
    taken = take(raw, DOWNLOAD_QUEUE)
    assert taken["headers"]["task"] == DOWNLOAD_TASK
    assert body(taken)[1] == {"org_id": str(ORG), "download_id": str(ROW)}
    assert refused(take(raw, UPLOAD_QUEUE)).seen == "malformed"
    assert refused(take(RAW, DOWNLOAD_QUEUE)).seen == "malformed"
    raw = published(
        DOWNLOAD_TASK, DOWNLOAD_QUEUE, grant(subject=STRANGER), {"org_id": str(ORG), "download_id": str(ROW)}
    )
    assert refused(take(raw, DOWNLOAD_QUEUE)).seen == "misdirected"


def test_a_doorbell_of_a_rendition_passes_in_its_own_queue_only() -> None:
    kwargs = {"org_id": str(ORG), "download_id": str(ROW)}
    raw = published(RENDITION_TASK, RENDITION_QUEUE, kwargs=kwargs)
    assert take(raw, RENDITION_QUEUE)["headers"]["task"] == RENDITION_TASK
    assert refused(take(raw, DOWNLOAD_QUEUE)).seen == "malformed", "no worker of threads answers it"
    assert refused(take(published(DOWNLOAD_TASK, DOWNLOAD_QUEUE, kwargs=kwargs), RENDITION_QUEUE)).seen == "malformed"


def test_what_was_taken_can_be_taken_again_when_the_broker_gives_it_back() -> None:
    once = json.loads(json.dumps(take(RAW, UPLOAD_QUEUE)))
    again = take(once, UPLOAD_QUEUE)
    assert body(again) == body(once)
    assert again["headers"] | {GRANT_HEADER: ""} == once["headers"] | {GRANT_HEADER: ""}


def test_what_the_dispatcher_says_of_the_grant_comes_along_with_it() -> None:
    taken = take(with_header(**{MEMO_HEADER: ["memo", "proof"]}), UPLOAD_QUEUE)["headers"]
    assert (taken[GRANT_HEADER].memo, taken[GRANT_HEADER].proof) == ("memo", "proof")
    assert MEMO_HEADER not in taken


@pytest.mark.parametrize(
    "wrong", [None, "memo", [], ["memo"], ["memo", 7], ["m", "p", "x"], ["\0", "p"], ["\u00fc", "p"], ["m", "p" * 257]]
)
def test_what_is_no_memo_is_left_out_and_the_doorbell_answered_without(wrong: Any) -> None:
    taken = take(with_header(**{MEMO_HEADER: wrong}), UPLOAD_QUEUE)["headers"]
    assert taken["task"] == UPLOAD_TASK
    assert (taken[GRANT_HEADER].memo, taken[GRANT_HEADER].proof) == ("", "")


def test_every_task_of_ours_has_its_place_at_the_gate() -> None:
    """One that has none would be refused whenever it is rung for."""
    app = import_module("tasks").app
    app.loader.import_default_modules()
    known = {task for tasks in intake._READERS.values() for task in tasks}
    assert {name for name in app.tasks if name.startswith("recordings.")} == known | {REFUSED_TASK}


def test_nothing_else_of_a_message_gets_through() -> None:
    raw = with_header(
        argsrepr="eyJ", kwargsrepr="<script>", shadow="recordings.nothing", eta="2999-01-01", expires="2000-01-01",
        group="g", stamped_headers=["a"], timelimit=[1, 1], ignore_result=False, root_id={}, anything="at all",
    )  # fmt: skip
    raw["properties"] |= {"reply_to": "somebody", "delivery_tag": {"a": 1}, "delivery_info": {"exchange": "elsewhere"}}
    raw["body"] = with_body([[], body(RAW)[1], {"callbacks": [{"task": "x"}], "chord": {}, "chain": []}])["body"]
    clean, taken = take(RAW, UPLOAD_QUEUE), take(raw, UPLOAD_QUEUE)
    for message in (clean, taken):
        del message["properties"]["delivery_tag"]
    assert taken == clean


WRONG: dict[str, Callable[[], Any]] = {
    "nothing": lambda: None,
    "a list": list,
    "a number": lambda: 7,
    "an empty object": dict,
    "no properties": lambda: without("properties"),
    "no headers": lambda: without("headers"),
    "headers that are null": lambda: changed(headers=None),
    "no body": lambda: without("body"),
    "no id": lambda: with_header(id=None),
    "an id that is no uuid": lambda: with_header(id="x" * 100_000),
    "no task": lambda: with_header(task=None),
    "an unknown task": lambda: with_header(task="celery.backend_cleanup"),
    "the task of the gate itself": lambda: with_header(task=REFUSED_TASK),
    "a task that is a list": lambda: with_header(task=[UPLOAD_TASK]),
    "pickle": lambda: changed(**{"content-type": "application/x-python-serialize"}),
    "yaml": lambda: changed(**{"content-type": "application/x-yaml"}),
    "a body that is not base64": lambda: changed(body="!!!"),
    "a body that is not JSON": lambda: changed(body=base64.b64encode(b"\x80\x04.").decode()),
    "a huge body": lambda: changed(body="A" * 5_000_000),
    "a deep body": lambda: changed(body=base64.b64encode(b"[" * 6_000).decode()),
    "a body that is a string": lambda: with_body("x"),
    "a body of two parts": lambda: with_body([[], {}]),
    "positional arguments": lambda: with_body([[str(ORG)], {}, {}]),
    "no arguments": with_kwargs,
    "one argument more": lambda: with_kwargs(org_id=str(ORG), upload_ids=[str(ROW)], source_url="x"),
    "ids that are a string": lambda: with_kwargs(org_id=str(ORG), upload_ids=str(ROW)),
    "ids that are numbers": lambda: with_kwargs(org_id=1, upload_ids=[2]),
    "no ids": lambda: with_kwargs(org_id=str(ORG), upload_ids=[]),
    "ids in another form": lambda: with_kwargs(org_id=ORG.hex, upload_ids=[ROW.hex]),
    "a grant that is a list": lambda: with_header(**{GRANT_HEADER: [grant()]}),
    "a grant without end": lambda: with_header(**{GRANT_HEADER: grant() * 20}),
    "a grant with a zero byte": lambda: with_header(**{GRANT_HEADER: grant() + "\0"}),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_doorbell_becomes_a_report(wrong: str) -> None:
    assert refused(take(WRONG[wrong](), UPLOAD_QUEUE)).seen == "malformed"


def test_a_doorbell_without_a_grant_becomes_a_report_with_its_ids() -> None:
    raw = copy.deepcopy(RAW)
    del raw["headers"][GRANT_HEADER]
    message_id = UUID(raw["headers"]["id"])
    assert refused(take(raw, UPLOAD_QUEUE)) == Refused("missing", UPLOAD_TASK, message_id, ORG, ROW)


@pytest.mark.parametrize(
    "raw",
    [
        with_kwargs(org_id=str(OTHER), upload_ids=[str(ROW)]),
        with_kwargs(org_id=str(ORG), upload_ids=[str(STRANGER)]),
        with_header(**{GRANT_HEADER: grant(org_id=OTHER)}),
        with_header(**{GRANT_HEADER: grant(subject=ORG)}),
    ],
    ids=["another organisation", "another row", "another's grant", "a sweep's grant"],
)
def test_a_grant_for_something_else_becomes_a_report(raw: dict[str, Any]) -> None:
    assert refused(take(raw, UPLOAD_QUEUE)).seen == "misdirected"


@pytest.mark.parametrize("text", ["x.y.z", "not a grant", "..", "eyJhbGciOiJub25lIn0.W10."])
def test_what_is_no_grant_is_for_the_database_to_refuse(text: str) -> None:
    taken = take(with_header(**{GRANT_HEADER: text}), UPLOAD_QUEUE)
    assert taken["headers"]["task"] == UPLOAD_TASK
    assert str.__str__(taken["headers"][GRANT_HEADER]) == text


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.uuids().map(str),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
PLACES = st.sampled_from(
    [(), *((name,) for name in RAW), *(("headers", n) for n in RAW["headers"]), ("body", "kwargs")]
)


@given(place=PLACES, value=ANYTHING, queue=st.sampled_from([UPLOAD_QUEUE, MAINTENANCE_QUEUE]))
@settings(max_examples=400, deadline=None)
def test_whatever_stands_anywhere_in_a_message_it_is_taken_or_reported(
    place: tuple[str, ...], value: Any, queue: str
) -> None:
    raw: Any = copy.deepcopy(RAW)
    match place:
        case ():
            raw = value
        case (name,):
            raw[name] = value
        case ("headers", name):
            raw["headers"][name] = value
        case _:
            raw = with_body([[], value, {}])
    taken = take(raw, queue)
    assert taken["headers"]["task"] in {UPLOAD_TASK, REFUSED_TASK}
    assert json.loads(json.dumps(taken))["properties"]["delivery_info"] == {"exchange": "", "routing_key": queue}
    assert UUID(taken["headers"]["id"])


@given(claims=ANYTHING | st.fixed_dictionaries({"org_id": ANYTHING | st.just(str(ORG)), "sub": ANYTHING}))
@settings(max_examples=200, deadline=None)
def test_whatever_a_grant_says_it_is_for_this_row_or_for_the_database_or_refused(claims: Any) -> None:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    taken = take(with_header(**{GRANT_HEADER: f"eyJ.{payload}.x"}), UPLOAD_QUEUE)
    if isinstance(claims, dict) and claims and len(payload) < 4_000:
        assert refused(taken).seen == "misdirected"
    else:
        assert taken["headers"]["task"] in {UPLOAD_TASK, REFUSED_TASK}


def test_a_grant_goes_where_it_must_and_shows_nowhere() -> None:
    secret = grant()
    held = Grant(secret)
    shown = [
        repr(held),
        str(held),
        f"{held}",
        f"{held!r:>20}",
        "%s %r" % (held, held),  # noqa: UP031 - as loggers do
        repr({"a": [held]}),
    ]
    assert all(secret not in text and "eyJ" not in text for text in shown)
    assert json.loads(json.dumps({"grant": held})) == {"grant": secret}
    assert held.split(".") == secret.split(".")
