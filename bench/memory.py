"""Memory must not grow with a recording's size: the worker's peak after small ones and after large ones."""

from bench.cells import LARGE, SMALL
from bench.ground import Ground
from bench.options import Options
from bench.peers.peer import Cell
from bench.peers.project import Project
from bench.peers.uploads import Uploads
from bench.sample import Results, Spread
from bench.usage import peak_mb


def memory(ground: Ground, results: Results, options: Options) -> None:
    for slots in (1, 16):
        peaks: dict[int, list[float]] = {SMALL: [], LARGE: []}
        for _ in range(1 if options.quick else 2):
            for size, kept in peaks.items():
                kept.append(_peak(ground, slots, size, _count(size, slots, is_quick=options.quick)))
                options.tell(f"memory             {slots:2} slots, {size / 1e6:5.1f} MB: peak {kept[-1]:.1f} MB")
        named = "1 slot" if slots == 1 else f"{slots} slots"
        growth = [large - small for small, large in zip(peaks[SMALL], peaks[LARGE], strict=True)]
        _keep(results, f"memory growth, {named}", growth)
        _keep(results, f"memory peak, {named}", [*peaks[SMALL], *peaks[LARGE]])


def _keep(results: Results, name: str, values: list[float]) -> None:
    spread = Spread.of(values)
    if spread is not None:
        # The worst, not the median: a bound is a bound.
        results.figures[name] = Spread(spread.high, spread.low, spread.high)


def _count(size: int, slots: int, *, is_quick: bool) -> int:
    if size == LARGE:
        return max(4, slots) if is_quick else max(8, slots * 2)
    return 60 if is_quick else 400


def _peak(ground: Ground, slots: int, size: int, count: int) -> float:
    ground.sweep("null")
    with Project().ready(ground, Cell("memory", "null", size, count, slots=(1, slots))) as crew:
        uploads = Uploads(ground, size)
        uploads.await_all(uploads.enqueue_all(count))
        return peak_mb(crew.processes["worker1"].pid) or 0.0
