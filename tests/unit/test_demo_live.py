import io
import signal
from uuid import UUID

import pytest
from rich.console import Console

from workers.demo.interruption import Interruption
from workers.demo.killing import choose
from workers.demo.live import BAR, EVENTS, Event, Screen, bar, latest
from workers.demo.news import tell_news
from workers.demo.observer import Held, News, Snapshot
from workers.demo.view import Lines
from workers.progress import OrganisationProgress

ORG = UUID(int=0xA)
SNAPSHOT = Snapshot(
    organisations=(OrganisationProgress(ORG, "Greenfield Dermatology", "active", 3, 2, 31, 4),),
    held=(Held("worker1@recordings", UUID(int=1), 1),),
    retried=12,
    snoozed=3,
    stored_bytes=34_900_000,
    news=(
        News(1, ORG, "snoozed", "source_not_ready", "worker1@recordings"),
        News(2, ORG, "rescheduled", "worker_lost", "worker2@recordings"),
        News(3, ORG, "given_up", "store_denied", "worker2@recordings"),
    ),
)


def drawn(screen: Screen, *, width: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(screen)
    return out.getvalue().splitlines()


@pytest.mark.parametrize(("stored", "failed"), [(0, 0), (1, 0), (0, 1), (31, 4), (36, 4), (40, 40)])
def test_a_bar_is_always_as_wide_and_shows_even_one_failure(stored: int, failed: int) -> None:
    drawn_bar = bar(stored, failed, 40)
    assert len(drawn_bar) == BAR
    assert any(span.style == "red" and span.end > span.start for span in drawn_bar.spans) == (
        failed > 0 and (stored + failed) * BAR >= 40
    )


def test_notes_make_room_for_milestones() -> None:
    events = [Event(float(number), str(number), is_milestone=number % 4 == 0) for number in range(9)]
    assert [event.text for event in latest(events, 4)] == ["0", "4", "7", "8"]
    assert [event.text for event in latest(events[::4], 2)] == ["4", "8"]


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_screen_has_as_many_lines_before_during_and_after_and_none_is_too_long(width: int) -> None:
    screen = Screen(Console(), ("Greenfield Dermatology",), 40)
    before = drawn(screen, width=width)
    tell_news(SNAPSHOT, screen)
    screen.show(SNAPSHOT)
    for _ in range(EVENTS + 3):
        screen.note("a call is reported twice")
    during = drawn(screen, width=width)
    assert len(before) == len(during)
    assert max(map(len, during)) <= min(width, 100)
    assert any("31 stored" in line and "4 failed" in line and "5 waiting" in line for line in during)


def test_a_log_gets_plain_lines_and_the_news_that_matter() -> None:
    out = io.StringIO()
    lines = Lines(out=out, total=40)
    lost = tell_news(SNAPSHOT, lines)
    assert tell_news(SNAPSHOT, lines, lost_before=lost) == 2
    lines.show(SNAPSHOT)
    lines.show(SNAPSHOT)
    lines.part("postgres")
    lines.part("stack")
    said = [line.partition(" s  ")[2] for line in out.getvalue().splitlines()]
    assert said == [
        "the lease of an upload ran out: another attempt takes over",
        "35 of 40 uploads settled",
        "the stack is ready",
    ]
    assert out.getvalue().replace("\n", "").isprintable()


def test_the_victim_is_the_worker_with_the_most_slow_uploads() -> None:
    held = [Held("one", UUID(int=number), 1) for number in (1, 2, 3)] + [Held("two", UUID(int=4), 1)]
    assert choose(held, {UUID(int=4)}) == "two"
    assert choose(held, {UUID(int=1), UUID(int=2), UUID(int=4)}) == "one"
    assert choose(held, set()) is None


def test_a_signal_ends_the_demo_only_where_it_can_be_ended() -> None:
    interruption, hurried = Interruption(), []
    interruption.hurry = lambda: hurried.append(1)
    with interruption.heard():
        signal.raise_signal(signal.SIGTERM)  # not armed: kept
        with pytest.raises(KeyboardInterrupt), interruption.armed():
            pytest.fail("it was not to begin")
        signal.raise_signal(signal.SIGINT)  # cleaning up: not to be cut short
    assert hurried == [1]


def test_an_armed_demo_ends_at_once_and_the_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    interruption = Interruption()
    with pytest.raises(KeyboardInterrupt), interruption.heard(), interruption.armed():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
