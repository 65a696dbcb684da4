"""Giving back: what was rung for and never claimed is due again, at once and at no cost."""

from datetime import timedelta

from tests.desk import Desk
from workers.dispatch import NOBODY, pick


def mark(desk: Desk) -> None:
    with desk.database.connect("recording_dispatcher") as dispatcher:
        pick(dispatcher, after=NOBODY, window=100, cap=100, expires=timedelta(seconds=60))


def test_a_row_that_is_given_back_is_due_at_once_and_nothing_is_used_up(desk: Desk) -> None:
    uploads = [desk.enqueue() for _ in range(3)]
    before = [desk.everything(upload_id) for upload_id in uploads]
    mark(desk)
    desk.worker().give_back(desk.grant, uploads)
    assert [desk.everything(upload_id) for upload_id in uploads] == before
    with desk.database.connect("recording_dispatcher") as dispatcher:
        picked = pick(dispatcher, after=NOBODY, window=100, cap=100, expires=timedelta(seconds=60))
    assert sorted(row.id for row in picked.due) == sorted(uploads)


def test_a_row_that_is_claimed_or_settled_is_not_given_back(desk: Desk) -> None:
    claimed = desk.claimed()
    before = desk.everything(claimed.id)
    desk.worker("worker@zombie").give_back(desk.grant, [claimed.id])
    assert desk.everything(claimed.id) == before


def test_a_row_of_another_organisation_is_not_there_to_give_back(desk: Desk) -> None:
    other = desk.database.enqueue(desk.database.organisation()).upload_id
    mark(desk)
    before = desk.everything(other)
    desk.worker().give_back(desk.grant, [other])
    assert desk.everything(other) == before
