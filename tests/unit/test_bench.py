"""The pure parts of the benchmark: what is counted, what a median is, what a verdict. No times are tested."""

import socket
import threading
import xml.etree.ElementTree as ET
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from bench import bars, page, picture, soak, table
from bench.bars import Bar, Verdict, figure, versus
from bench.cells import CELLS, order, quick
from bench.sample import Results, Sample, Spread, percentile, summary
from bench.servers import sink
from bench.servers.loop import Wait


def of(peer: str, seconds: float, *latencies: float, cell: str = "c", cpu_s: float = 1.0) -> Sample:
    return Sample(peer, cell, 100, seconds, cpu_s, 50.0, 80.0, latencies)


# Statistics ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100)])
def test_a_percentile_is_a_value_that_was_measured(share: float, value: float) -> None:
    assert percentile(range(100, 0, -1), share) == value


def test_a_percentile_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_a_summary_is_medians_with_ranges_over_rounds() -> None:
    found = summary("p", "c", [of("p", 1.0), of("p", 2.0), of("p", 4.0)])
    assert found.rate == Spread(50.0, 25.0, 100.0)
    assert found.cpu_ms == Spread(10.0, 10.0, 10.0)
    assert found.p50_ms is None


def test_percentiles_are_taken_within_a_round_and_a_pace_is_no_rate() -> None:
    found = summary("p", "c", [of("p", 5.0, 1, 2, 3), of("p", 5.0, 5, 6, 70)])
    assert found.p50_ms == Spread(4.0, 2.0, 6.0)
    assert found.p99_ms == Spread(36.5, 3.0, 70.0)
    assert found.rate is None


def test_a_peer_that_failed_is_in_the_summary_with_its_reason() -> None:
    results = Results([of("project", 1.0)], {("c", "rclone"): "is not installed"})
    assert [(found.peer, found.error) for found in results.summaries()] == [
        ("project", ""),
        ("rclone", "is not installed"),
    ]
    assert results.value("c", "rclone", "rate") is None


# Verdicts ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def results() -> Results:
    return Results([of("project", 1.0, cpu_s=0.2), of("naive -c2", 4.0, cpu_s=0.1)])


def test_a_ratio_is_ours_to_theirs_in_the_same_cell(results: Results) -> None:
    assert versus("c", "naive -c2")(results) == 4.0
    assert versus("c", "naive -c2", "cpu_ms")(results) == 2.0
    assert versus("another", "naive -c2")(results) is None


def test_a_bar_of_several_figures_is_judged_by_the_worst_and_not_without_one_of_them() -> None:
    results = Results(figures={"a": Spread(1, 1, 1), "b": Spread(3, 3, 3)})
    assert figure("a", "b")(results) == 3
    assert figure("a", "missing")(results) is None


@pytest.mark.parametrize(
    ("value", "is_least", "is_met", "is_aim_met", "mark"),
    [
        (2.0, True, True, False, "met"),
        (3.0, True, True, True, "aim"),
        (1.9, True, False, False, "MISSED"),
        (2.0, False, True, True, "aim"),
        (3.1, False, False, False, "MISSED"),
        (None, True, False, False, ""),
    ],
)
def test_a_verdict(value: float | None, is_least: bool, is_met: bool, is_aim_met: bool, mark: str) -> None:
    verdict = Verdict(Bar("x", lambda _: value, 2.0 if is_least else 3.0, 3.0 if is_least else 2.0, is_least), value)
    assert (verdict.is_met, verdict.is_aim_met, table.mark(verdict)) == (is_met, is_aim_met, mark)


def test_better_is_more_whatever_was_divided() -> None:
    cost = Bar("cpu", lambda _: 0.5, 1.0, 0.8, is_least=False)
    memory = Bar("peak", lambda _: 100.0, 130, 110, is_least=False, unit="MB")
    assert Verdict(cost, 0.5).times_better == 2.0
    assert Verdict(memory, 100.0).times_better is None


def test_every_cell_that_is_judged_is_compared() -> None:
    """With numbers for every peer in every cell, and no figure, only the bars of figures are open."""
    pairs = [(cell, peer) for cell, peers in CELLS for peer in peers]
    samples = [of(peer.name, 1.0, *((1.0, 2.0) if cell.rate else ()), cell=cell.name) for cell, peer in pairs]
    open_bars = [verdict.bar for verdict in bars.verdicts(Results(samples)) if verdict.value is None]
    assert len(bars.BARS) - len(open_bars) == 10


def test_every_second_round_goes_the_other_way() -> None:
    peers = CELLS[0][1]
    assert order(peers, 1) == list(reversed(order(peers, 0)))
    assert all(quick(cell).count <= cell.count for cell, _ in CELLS)


# What is shown -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.1234, "0.123"), (1.5, "1.5"), (45.67, "45.7"), (1234.5, "1,234")]
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert table.number(value) == text


def test_the_page_says_missed_and_not_measured(results: Results) -> None:
    bar = Bar("a | b", versus("c", "naive -c2"), 5, 6)
    text = page.bars([Verdict(bar, bar.value(results)), Verdict(bar, None)])
    assert "| a / b | 4 × | ≥ 5 | ≥ 6 | MISSED |" in text
    assert "not measured" in text


def test_a_run_renews_its_own_sections_of_the_page_and_no_others() -> None:
    text = "# A\n<!-- bench: a -->\nold\n<!-- /bench -->\nkept\n<!-- bench: b -->\nb\n<!-- /bench -->\n"
    new = page.replaced(text, {"a": "new \\1"})
    assert new == text.replace("old", "new \\1")
    assert page.replaced(new, {"a": "old"}) == text
    with pytest.raises(KeyError):
        page.replaced(text, {"c": ""})


def test_the_page_has_every_section_that_is_written(results: Results) -> None:
    text = (Path(__file__).parents[2] / "docs/performance.md").read_text()
    written = {*page.sections(results, [], "2 cores"), "growth", "soak"}
    assert page.replaced(text, dict.fromkeys(written, "x"))


def test_pictures_are_well_formed_with_and_without_numbers(results: Results) -> None:
    bar = Bar("<faster> & cheaper", versus("c", "naive -c2"), 3, 6)
    drawn = [
        picture.ratios([Verdict(bar, 4.0)], "2 cores"),
        picture.ratios([], "2 cores"),
        picture.growth({"claim": [(10_000, 0.5), (1_000_000, 0.7)]}, "ms", "2 cores"),
        picture.growth({"claim": [(10, 1.0)]}, "ms", "2 cores"),
        picture.growth({}, "ms", "2 cores"),
    ]
    for svg in drawn:
        assert ET.fromstring(svg).tag.endswith("svg")
    assert "4 ×" in drawn[0]


def test_memory_has_grown_by_the_last_thirds_median_over_the_middle_ones() -> None:
    looks = [soak.Look(n, 1.0, {"worker1": mb}) for n, mb in enumerate((10, 90, 100, 102, 110, 112))]
    assert soak.growth_mb(looks) == {"worker1": 10.0}
    assert soak.growth_mb(looks[:2]) == {}


# The null sink -------------------------------------------------------------------------------------------------------


def driven(talk: Generator[Wait]) -> None:
    """A connection's generator on a blocking socket never waits, but for its latency."""
    for _ in talk:
        pass


@pytest.fixture
def client() -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=driven, args=(sink.talk(theirs),))
    thread.start()
    with ours:
        yield ours
    thread.join()
    theirs.close()


def asked(client: socket.socket, head: str, body: bytes = b"") -> str:
    lines = f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    client.sendall(lines + body)
    return client.recv(65536).decode()


def test_the_sink_gives_back_the_checksum_of_a_trailer_however_large_the_body(client: socket.socket) -> None:
    body = bytes(300_000) + b"\r\n0\r\nx-amz-checksum-sha256:abc+/=\r\n\r\n"
    head = "PUT /recordings/key.wav HTTP/1.1\r\nx-amz-trailer: x-amz-checksum-sha256\r\nIf-None-Match: *"
    for _ in range(2):
        answer = asked(client, head, body)
        assert answer.startswith("HTTP/1.1 200 OK")
        assert "x-amz-checksum-sha256: abc+/=" in answer


@pytest.mark.parametrize(
    ("head", "status", "part"),
    [
        ("PUT /b/k HTTP/1.1\r\nx-amz-checksum-crc32: AAAA", "200", "x-amz-checksum-crc32: AAAA"),
        ("HEAD /b/k HTTP/1.1", "404", ""),
        ("HEAD /b HTTP/1.1", "200", ""),
        ("POST /b/k?uploads HTTP/1.1", "200", "<UploadId>"),
        ("PUT /b/k?partNumber=1&uploadId=u HTTP/1.1", "200", "ETag"),
        ("POST /b/k?uploadId=u HTTP/1.1", "200", "CompleteMultipartUploadResult"),
        ("GET /b?list-type=2 HTTP/1.1", "200", "<KeyCount>0<"),
        ("DELETE /b/k HTTP/1.1", "204", ""),
    ],
)
def test_the_sink_answers_as_s3_does(client: socket.socket, head: str, status: str, part: str) -> None:
    answer = asked(client, head)
    assert answer.split()[1] == status
    assert part in answer
