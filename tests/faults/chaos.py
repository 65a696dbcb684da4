"""``python -m tests.faults.chaos --seed 1``: the chaos run (``make chaos``). Exit code 1 if anything was lost, doubled,
wrong or late. The seed fixes the calls, the faults and when they come; not how the processes' threads interleave."""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from tests.faults.plan import draw
from tests.faults.report import lines, summary
from tests.faults.run import run
from tests.faults.stage import LEASE_S
from workers.embedded.state import remove


def main() -> int:
    options = arguments()
    plan = draw(
        seed=options.seed,
        uploads=options.uploads,
        over_s=options.minutes * 60,
        every_s=options.every,
        lease_s=LEASE_S,
    )
    tell(f"seed {plan.seed}: {len(plan.calls):,} uploads and {len(plan.faults)} faults in {plan.over_s:.0f} s")
    directory = options.keep or Path(tempfile.mkdtemp(prefix="chaos-"))
    result = run(plan, directory / "state", tell, workers=options.workers, concurrency=options.concurrency)
    for line in lines(result):
        tell(line)
    if options.json:
        options.json.write_text(json.dumps(summary(result), indent=1) + "\n")
    if result.ok and not options.keep:
        remove(directory / "state")
        shutil.rmtree(directory)
    elif not result.ok:
        tell(f"The logs are in {directory / 'state' / 'logs'}")
    return 0 if result.ok else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description="Faults of every part, and nothing lost or doubled.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--uploads", type=int, default=5000)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between faults, on average")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--json", type=Path, help="write the summary there as well")
    parser.add_argument("--keep", type=Path, help="keep the stack's folder there: its logs, its data")
    return parser.parse_args()


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
