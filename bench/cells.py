"""What is compared with whom: the cells, and who takes part in each."""

from collections.abc import Sequence
from dataclasses import replace

from bench.peers.bare import Bare
from bench.peers.commands import Curl, Rclone
from bench.peers.naive import Naive
from bench.peers.peer import Cell, Peer
from bench.peers.procrastinated import Procrastinate
from bench.peers.project import Project

#: Processes and threads of ours: few threads where the store answers at once, many where each request waits for it.
NEAR, FAR = (2, 4), (2, 32)
SMALL, MIDDLE, LARGE = 200_000, 2_000_000, 67_108_864

_FEW = (("naive -c2", 400), ("naive -c8", 400), ("procrastinate", 300), ("curl", 4000))
_WAITING = (("naive -c2", 150), ("naive -c8", 400), ("procrastinate", 300))
_MIDDLE = (("naive -c2", 100), ("procrastinate", 100), ("curl", 800))

CELLS: tuple[tuple[Cell, tuple[Peer, ...]], ...] = (
    (
        Cell("200 KB, null", "null", SMALL, 2000, counts=_FEW, slots=NEAR),
        (Project(), Bare(), Naive(2), Naive(8), Procrastinate(), Curl()),
    ),
    (
        Cell("200 KB, 50 ms", "null50", SMALL, 1500, counts=_WAITING, slots=FAR),
        (Project(), Bare(), Naive(2), Naive(8), Procrastinate()),
    ),
    (
        Cell("200 KB, S3", "s3", SMALL, 800, counts=_FEW, slots=NEAR),
        (Project(), Bare(), Naive(2), Procrastinate(), Rclone()),
    ),
    (
        Cell("200 KB, S3, 20/s", "s3", SMALL, 200, rate=20.0, slots=NEAR),
        (Project(), Naive(2), Procrastinate()),
    ),
    (
        Cell("2 MB, null", "null", MIDDLE, 400, counts=_MIDDLE, slots=NEAR),
        (Project(), Bare(), Naive(2), Procrastinate(), Curl()),
    ),
    (Cell("2 MB, S3", "s3", MIDDLE, 150, counts=_MIDDLE, slots=NEAR), (Project(), Naive(2), Rclone())),
    (Cell("64 MB, null", "null", LARGE, 10, counts=(("curl", 40),), slots=NEAR), (Project(), Bare(), Naive(2), Curl())),
    (Cell("64 MB, S3", "s3", LARGE, 10, slots=NEAR), (Project(), Naive(2), Rclone())),
)


def quick(cell: Cell) -> Cell:
    """To see that it runs: the numbers say little."""
    least = 4 if cell.size == LARGE else 40
    counts = tuple((peer, max(least, count // 10)) for peer, count in cell.counts)
    return replace(cell, count=max(least, cell.count // 10), counts=counts)


def order(peers: Sequence[Peer], number: int) -> list[Peer]:
    """Of a round: every second one the other way round, so that what drifts favours nobody."""
    return list(peers) if number % 2 == 0 else list(reversed(peers))
