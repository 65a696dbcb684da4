"""The comparison: every peer in every cell, round after round, each fresh on swept ground."""

import subprocess

from bench.cells import CELLS, order, quick
from bench.ground import Ground
from bench.options import Options
from bench.peers.peer import Cell, Measured, Peer
from bench.sample import Results, Sample


def compare(ground: Ground, results: Results, options: Options) -> None:
    for cell, peers in CELLS:
        chosen = [peer for peer in peers if options.only in cell.name or options.only == peer.name]
        for number in range(options.rounds):
            for peer in order(chosen, number):
                run(ground, peer, quick(cell) if options.quick else cell, results, options)


def run(ground: Ground, peer: Peer, cell: Cell, results: Results, options: Options) -> None:
    """One run. Whoever fails is out of this cell, and said so; the others go on."""
    if (cell.name, peer.name) in results.errors:
        return
    count = cell.count_for(peer.name)
    try:
        ground.sweep(cell.sink)
        with peer.ready(ground, cell) as running:
            running.warm_up()
            measured = running.steady(count, cell.rate) if cell.rate else running.backlog(count)
    except Exception as error:  # noqa: BLE001 - a peer's fault of any kind ends nothing but its part
        results.errors[cell.name, peer.name] = _said(error)
        options.tell(f"{cell.name:18} {peer.name:14} failed: {_said(error)}")
        return
    sample = _sample(peer, cell, count, measured)
    results.samples.append(sample)
    shown = f"p50 {sorted(sample.latencies_ms)[count // 2]:.1f} ms" if cell.rate else f"{sample.rate:8.1f} /s"
    options.tell(f"{cell.name:18} {peer.name:14} {shown}  {sample.cpu_ms:7.2f} ms CPU  {sample.rss_mb or 0:5.0f} MB")


def _sample(peer: Peer, cell: Cell, count: int, measured: Measured) -> Sample:
    usage = measured.usage
    return Sample(
        peer.name,
        cell.name,
        count,
        measured.seconds,
        usage.cpu_s,
        usage.rss_mb,
        usage.pss_mb,
        measured.latencies_ms,
    )


def _said(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return f"exit status {error.returncode}: {(error.stderr or b'').decode(errors='replace').strip()[-300:]}"
    return f"{type(error).__name__}: {str(error).strip()[:300]}"
