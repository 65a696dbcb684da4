"""The comparison of objects with rows: any two sets of them."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.renditions import rendition_key
from workers.sweep import (
    Fate,
    Kept,
    Listed,
    Pair,
    differs,
    is_abandoned,
    is_old,
    is_stale,
    side_by_side,
    upload_of,
)
from workers.uploads import Upload, object_key

NOW = datetime(2026, 5, 1, tzinfo=UTC)
ORG, OTHER = UUID(int=1), UUID(int=2)
SPACE = UUID(int=3)
ids = st.integers(0, 30).map(lambda n: uuid5(SPACE, str(n)))
sizes = st.integers(1, 3)
statuses = st.sampled_from(["pending", "processing", "completed", "failed"])


def upload(upload_id: UUID, created_at: datetime = NOW, org_id: UUID = ORG) -> Upload:
    call_id = uuid5(upload_id, "call")
    return Upload(upload_id, org_id, call_id, "https", "c", "r", "https://x.example/", 1, 0, 9, created_at, created_at)


def key_of(upload_id: UUID, extension: str = "wav") -> str:
    return object_key(upload(upload_id), extension)


@given(st.dictionaries(ids, sizes), st.dictionaries(ids, sizes), st.sets(st.text(min_size=1)))
def test_every_key_of_either_side_comes_once_with_its_object_and_its_row(
    stored: dict[UUID, int], completed: dict[UUID, int], strange: set[str]
) -> None:
    objects = {key_of(one): size for one, size in stored.items()} | {f"{ORG}/{name}": 1 for name in strange}
    rows = {key_of(one): Kept(one, key_of(one), size, "00") for one, size in completed.items()}
    pairs = list(
        side_by_side(
            (Listed(key, objects[key], NOW) for key in sorted(objects, key=str.encode)),
            (rows[key] for key in sorted(rows, key=str.encode)),
        )
    )
    assert [pair.key for pair in pairs] == sorted(objects.keys() | rows.keys(), key=str.encode)
    for pair in pairs:
        assert (pair.listed.size_bytes if pair.listed else None) == objects.get(pair.key)
        assert pair.kept == ((rows[pair.key],) if pair.key in rows else ())
        fits = pair.key in rows and objects.get(pair.key) == rows[pair.key].size_bytes
        assert bool(pair.doubtful) == (pair.key in rows and not fits)


@given(ids, st.none() | st.tuples(statuses, st.none() | st.sampled_from(["wav", "mp3"])))
def test_an_object_that_a_row_names_or_whose_upload_is_unsettled_is_never_abandoned(
    upload_id: UUID, row: tuple[str, str | None] | None
) -> None:
    key = key_of(upload_id)
    fate = Fate(row[0], key_of(upload_id, row[1]) if row[1] else None) if row else None
    is_named = fate is not None and fate.object_key == key
    is_unsettled = fate is not None and fate.status in {"pending", "processing"}
    assert is_abandoned(key, fate) == (not is_named and not is_unsettled)


def test_a_rendition_that_a_row_names_is_never_abandoned_and_another_of_the_same_upload_is() -> None:
    one = uuid5(SPACE, "one")
    mine, stray = (rendition_key(key_of(one), digit * 64, "mp3") for digit in "ab")
    assert upload_of(mine, ORG) == upload_of(stray, ORG) == one
    fate = Fate("completed", key_of(one), frozenset({mine}))
    assert not is_abandoned(mine, fate)
    assert is_abandoned(stray, fate)


@given(st.lists(st.tuples(ids, sizes), max_size=5))
def test_two_rows_of_one_key_are_both_compared(rows: list[tuple[UUID, int]]) -> None:
    key = key_of(UUID(int=9))
    kept = [Kept(upload_id, key, size, "00") for upload_id, size in rows]
    pairs = list(side_by_side([Listed(key, 2, NOW)], kept))
    assert pairs == [Pair(key, Listed(key, 2, NOW), tuple(kept))]
    assert pairs[0].doubtful == tuple(row for row in kept if row.size_bytes != 2)


@given(st.uuids(), st.datetimes(datetime(2000, 1, 1), datetime(9999, 1, 1)), st.sampled_from(["wav", "m4a", "flac"]))  # noqa: DTZ001
def test_every_key_that_is_made_is_recognised_by_its_own_organisation_and_no_other(
    upload_id: UUID, born: datetime, extension: str
) -> None:
    key = object_key(upload(upload_id, born.replace(tzinfo=UTC)), extension)
    assert upload_of(key, ORG) == upload_id
    assert upload_of(key, OTHER) is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: key + "/",
        lambda key: key + "\n",
        lambda key: key.upper(),
        lambda key: key.replace("/2026/", "/26/"),
        lambda key: key.replace("/05/", "/13/"),
        lambda key: key.removesuffix(".wav"),
        lambda key: f"quarantine/{key}",
        lambda key: f"{ORG}/exports/2026.zip",
        lambda key: f"{ORG}/",
        lambda key: "",
    ],
)
def test_a_key_that_is_not_made_by_us_names_no_upload(spoil: "type[str]") -> None:
    assert upload_of(spoil(key_of(UUID(int=9))), ORG) is None


def test_old_is_what_was_there_a_whole_grace_ago() -> None:
    grace = timedelta(hours=24)
    assert is_old(NOW - grace, now=NOW, grace=grace)
    assert not is_old(NOW - grace + timedelta(microseconds=1), now=NOW, grace=grace)
    assert not is_old(NOW + timedelta(days=9), now=NOW, grace=grace)


def test_a_multipart_upload_is_stale_unless_an_attempt_is_at_work() -> None:
    assert [
        status for status in ("pending", "processing", "completed", "failed") if not is_stale(Fate(status, None))
    ] == ["processing"]
    assert is_stale(None)


def test_an_object_differs_by_its_size_or_by_a_checksum_of_the_whole() -> None:
    row = Kept(UUID(int=9), "k", 5, "aa")
    assert not differs(row, size_bytes=5, sha256="aa")
    assert not differs(row, size_bytes=5, sha256=None)
    assert differs(row, size_bytes=6, sha256=None)
    assert differs(row, size_bytes=5, sha256="bb")
