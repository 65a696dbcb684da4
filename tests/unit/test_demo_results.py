import io
from dataclasses import replace

import pytest
from rich.console import Console

from tests.unit.demo_evidence import ORG_A, ORG_B, well
from workers.demo.check import Check, judged
from workers.demo.checks import judge
from workers.demo.report import report
from workers.demo.results import Numbers, as_json, by_organisation, percentile


def printed(checks: tuple[Check, ...], *, width: int = 100) -> str:
    out = io.StringIO()
    report(Console(file=out, width=width), well(), checks, elapsed_s=21.3)
    return out.getvalue()


def test_numbers_by_organisation() -> None:
    numbers = by_organisation(well())
    assert numbers[ORG_A] == Numbers(2, 2, 0, 1, {}, 10_000, 0.1, 4.5)
    assert numbers[ORG_B] == Numbers(2, 1, 1, 1, {"not_audio": 1}, 5_000, 8.0, 8.0)


@pytest.mark.parametrize(("percent", "value"), [(50, 5.0), (95, 10.0), (1, 1.0)])
def test_a_percentile_is_a_value_that_was_measured(percent: int, value: float) -> None:
    assert percentile([float(number) for number in range(1, 11)], percent) == value
    assert percentile([], percent) is None


def test_json_adds_up() -> None:
    evidence = well()
    facts = as_json(evidence, judge(evidence), elapsed_s=21.34)
    uploads = facts["uploads"]
    assert uploads["completed"] + uploads["failed"] == uploads["enqueued"] == 4
    assert (facts["lost"], facts["doubled"], facts["ok"], facts["elapsed_s"]) == (0, 0, True, 21.3)
    assert [one["name"] for one in facts["organisations"]] == ["Northside Dental", "Harbour Eye Clinic"]
    assert facts["worker_killed"]["worker"] == "worker1@recordings"


def test_json_says_when_something_is_wrong() -> None:
    evidence = replace(well(), rows=well().rows[1:], killed=None)
    facts = as_json(evidence, judge(evidence), elapsed_s=1)
    assert facts["ok"] is False
    assert facts["lost"] == 1
    assert facts["worker_killed"] is None


@pytest.mark.parametrize("width", [80, 100])
def test_the_report_fits(width: int) -> None:
    lines = printed(judge(well()), width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)


def test_a_failed_check_is_marked_and_told_in_full() -> None:
    wrong = Check("none lost", ok=False, detail="a detail too long for one line, " * 5)
    text = printed((wrong, Check("none doubled", ok=True, detail="one each")))
    assert "✗ none lost" in text
    assert "✓ none doubled" in text
    assert "1 of 2 checks failed" in text
    assert " ".join(text.split()).count("a detail too long for one line") == 5


def test_of_many_faults_a_check_shows_two() -> None:
    assert judged("name", ["a", "b", "c", "d"], "well") == Check("name", ok=False, detail="a, b and 2 more")
    assert judged("name", [], "well") == Check("name", ok=True, detail="well")
