"""What the doctor concludes from answers: no server is needed to be told that something is wrong with it."""

from typing import Any

import pytest

from schema.grant_keys import pads
from schema.lints import Finding
from workers.crew import Worker
from workers.doctor import broker, bucket, clocks, database, flower, keys, logins, names, network, trial, work
from workers.doctor.clocks import Reading
from workers.doctor.keys import Installed
from workers.doctor.result import Result, Verdict
from workers.grants import GrantKey

OK, WARNING, WRONG, UNSEEN = Verdict


def verdicts(results: Any) -> list[Verdict]:
    """And that each that is not well says what to do."""
    found = [results] if isinstance(results, Result) else list(results)
    assert all(result.remedy for result in found if result.verdict in (WARNING, WRONG))
    assert not any(result.remedy for result in found if result.verdict == OK)
    return [result.verdict for result in found]


@pytest.mark.parametrize(
    ("found", "verdict"), [("0009_x", OK), (None, WRONG), ("0003_y", WRONG), ("0010_z", WARNING), ("", UNSEEN)]
)
def test_migrations(found: str | None, verdict: Verdict) -> None:
    assert verdicts(database.judge_version(found, "0009_x")) == [verdict]


def test_what_the_static_checks_find_is_wrong_and_known_holes_are_warnings() -> None:
    error, hole = Finding("rls_off", "t", "It is off.", "ALTER"), Finding("old", "s", "It is old.", "15.9", "warning")
    assert verdicts(database.judge_lints((error, hole))) == [WRONG, WARNING]
    assert verdicts(database.judge_lints((hole,))) == [WARNING, OK]
    assert verdicts(database.judge_lints(())) == [OK]


@pytest.mark.parametrize(
    ("verifiers", "found"),
    [
        ({"recording_worker": "SCRAM-", "call_handler": "SCRAM-"}, [OK]),
        ({"recording_worker": ""}, [WRONG]),
        ({"call_handler": ""}, [WARNING]),
        ({"recording_ops": "md5abc"}, [WRONG]),
    ],
)
def test_passwords(verifiers: dict[str, str], found: list[Verdict]) -> None:
    assert verdicts(logins.judge_passwords(verifiers)) == found


# Not generated: they are in the names of tests, which are the same whoever collects them.
KEY, OTHER = GrantKey("0000000a", bytes(32)), GrantKey("0000000b", bytes(31) + b"\1")


def installed(key: GrantKey, *, age_days: float = 1.0, expires_s: float | None = None) -> Installed:
    return Installed(key.kid, pads(key.secret)[0], age_days, expires_s)


@pytest.mark.parametrize(
    ("known", "signs", "found"),
    [
        ([installed(KEY)], KEY.text, [OK, OK]),
        ([installed(KEY), installed(OTHER, expires_s=60)], KEY.text, [OK, OK]),
        ([installed(KEY), installed(OTHER, expires_s=60)], OTHER.text, [OK, OK]),
        ([installed(KEY), installed(OTHER, expires_s=-60)], OTHER.text, [OK, WRONG]),
        ([installed(KEY)], f"{KEY.kid}:{OTHER.text.partition(':')[2]}", [OK, WRONG]),
        ([installed(KEY)], "nonsense", [OK, WRONG]),
        ([installed(KEY)], "", [OK, UNSEEN]),
        ([installed(KEY, age_days=400)], KEY.text, [WARNING, OK]),
        ([installed(KEY, age_days=400), installed(OTHER)], OTHER.text, [OK, WARNING, OK]),
        ([installed(KEY, expires_s=60)], KEY.text, [WRONG, OK]),
        ([installed(KEY, expires_s=-60)], KEY.text, [WRONG]),
        ([], KEY.text, [WRONG]),
    ],
)
def test_grant_keys(known: list[Installed], signs: str, found: list[Verdict]) -> None:
    assert verdicts(keys.judge_grants(known, signs)) == found


SEAL = "s1:" + "A" * 43


@pytest.mark.parametrize(
    ("sealed", "text", "verdict"),
    [
        ({}, "", OK),
        ({"s1": 2}, SEAL, OK),
        ({"s1": 2, "s0": 1}, SEAL, WRONG),
        ({"s1": 2}, "", UNSEEN),
        ({}, "no key", WRONG),
    ],
)
def test_the_seal_key(sealed: dict[str, int], text: str, verdict: Verdict) -> None:
    assert verdicts(keys.judge_seal(sealed, text)) == [verdict]


def test_no_dispatcher_is_wrong() -> None:
    assert verdicts(work.judge_leader(0)) == [WRONG]
    assert verdicts(work.judge_leader(1)) == [OK]


WELL = Worker("w1", 0, 0, slots=4, busy=1, seen_s=1.0)
PAUSED = Worker("w2", 0, 0, slots=4, busy=0, seen_s=1.0, paused_code="store_denied", paused_s=9.0)
SILENT = Worker("w3", 1, 1, slots=4, busy=1, seen_s=60.0)


@pytest.mark.parametrize(
    ("crew", "found"),
    [
        ([WELL], [OK]),
        ([WELL, PAUSED], [OK, WARNING]),
        ([WELL, SILENT], [OK, WRONG]),
        ([SILENT], [WRONG, WRONG]),
        ([], [WRONG]),
    ],
)
def test_workers(crew: list[Worker], found: list[Verdict]) -> None:
    assert verdicts(work.judge_crew(crew)) == found


@pytest.mark.parametrize(("oldest_s", "verdict"), [(None, OK), (5.0, OK), (90.0, WARNING), (4000.0, WRONG)])
def test_what_is_due_for_long(oldest_s: float | None, verdict: Verdict) -> None:
    assert verdicts(work.judge_oldest(oldest_s)) == [verdict]


@pytest.mark.parametrize(
    ("info", "found"),
    [
        ({"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "9.1.2"}, [OK]),
        ({"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "8.0.5"}, [OK, WARNING]),
        ({"redis_version": "8.2.2"}, [OK]),
        ({"redis_version": "8.4.0"}, [OK]),
        ({"redis_version": "7.0.15"}, [OK, WARNING]),
        ({"redis_version": "7.2.10"}, [OK, WARNING]),
        ({"redis_version": "6.0.16"}, [WRONG]),
    ],
)
def test_the_broker_s_version(info: dict[str, str], found: list[Verdict]) -> None:
    assert verdicts(broker.judge_version(info)) == found


@pytest.mark.parametrize(
    ("where", "encrypted", "verified", "verdict"),
    [
        ("public", True, True, OK),
        ("public", True, False, WRONG),
        ("public", False, False, WRONG),
        ("private", False, False, WARNING),
        ("here", False, False, OK),
    ],
)
def test_encryption_on_the_way(where: network.Place, encrypted: bool, verified: bool, verdict: Verdict) -> None:
    said = network.encryption("x", where, is_encrypted=encrypted, is_verified=verified, remedy="do")
    assert said.verdict == verdict


@pytest.mark.parametrize(
    ("host", "where"),
    [("127.0.0.1", "here"), ("localhost", "here"), ("/run/pg", "here"), ("10.1.2.3", "private"), ("8.8.8.8", "public")],
)
def test_where_a_server_is(host: str, where: str) -> None:
    assert network.place(host) == where
    assert network.place("no-such-host.invalid") == "public"


ALL_USERS = {"Grantee": {"URI": "http://acs.amazonaws.com/groups/global/AllUsers"}, "Permission": "READ"}
ABORT = {"Status": "Enabled", "Filter": {"Prefix": ""}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}
BLOCKS = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)


@pytest.mark.parametrize(
    ("judge", "well", "ill", "verdict"),
    [
        (bucket.judge_policy, {}, {"PolicyStatus": {"IsPublic": True}}, WRONG),
        (bucket.judge_acl, {"Grants": [{"Grantee": {"ID": "me"}}]}, {"Grants": [ALL_USERS]}, WRONG),
        (
            bucket.judge_block,
            {"PublicAccessBlockConfiguration": BLOCKS},
            {"PublicAccessBlockConfiguration": BLOCKS | {"BlockPublicPolicy": False}},
            WARNING,
        ),
        (bucket.judge_versioning, {"Status": "Enabled"}, {"Status": "Suspended"}, WARNING),
        (bucket.judge_lifecycle, {"Rules": [ABORT]}, {"Rules": [ABORT | {"Status": "Disabled"}]}, WARNING),
        (bucket.judge_lifecycle, {"Rules": [ABORT]}, {"Rules": [ABORT | {"Filter": {"Prefix": "x/"}}]}, WARNING),
    ],
)
def test_settings_of_the_bucket(judge: Any, well: Any, ill: Any, verdict: Verdict) -> None:
    assert verdicts(judge(well)) == [OK]
    assert verdicts(judge(ill)) == [verdict]
    assert verdicts(judge(bucket.Unseen("may not"))) == [UNSEEN]


def test_what_lies_in_clear_is_wrong_where_it_is_not_development() -> None:
    assert verdicts(trial.judge_encryption("AES256", "public")) == [OK]
    assert verdicts(trial.judge_encryption(None, "private")) == [WRONG]
    assert verdicts(trial.judge_encryption(None, "here")) == [WARNING]


def test_flower_is_closed_or_named_by_its_open_routes() -> None:
    assert verdicts(flower.judge({"/": 302, "/metrics": 401})) == [OK]
    opened = flower.judge({"/": 401, "/metrics": 200, "/healthcheck": 200})
    assert verdicts(opened) == [WRONG]
    assert "/metrics, /healthcheck" in opened.sentence


@pytest.mark.parametrize(
    ("ahead_s", "verdict"), [(0.4, OK), (-2.0, OK), (5.0, WARNING), (-5.0, WARNING), (31.0, WRONG), (-3600.0, WRONG)]
)
def test_clocks(ahead_s: float, verdict: Verdict) -> None:
    assert verdicts(clocks.judge({"PostgreSQL": Reading(ahead_s, 0.1)})) == [verdict]


def test_a_slow_answer_is_no_wrong_clock() -> None:
    assert verdicts(clocks.judge({"x": Reading.between(100.0, 100.0, 110.0)})) == [OK]
    assert verdicts(clocks.judge({"x": Reading.between(100.0, 109.0, 100.2, grain_s=1.0)})) == [WARNING]
    assert verdicts(clocks.judge({})) == [UNSEEN]


def test_a_name_that_nobody_reads_is_said_with_the_one_that_was_meant() -> None:
    assert verdicts(names.judge(["PATH", "RECORDINGS_LEASE_S", "RECORDINGS_WORKERS"])) == [OK]
    (said,) = names.judge(["RECORDINGS_LEASES_S"])
    assert (said.verdict, said.remedy) == (WARNING, "did you mean RECORDINGS_LEASE_S?")
    assert verdicts(names.judge(["FLOWER_UNAUTHENTICATED_API"])) == [WRONG]
