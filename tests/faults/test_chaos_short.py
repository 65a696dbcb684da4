"""The chaos run, half a minute of it. The long one: ``make chaos``."""

from pathlib import Path

import pytest

from tests.faults.plan import MIX, draw
from tests.faults.report import lines
from tests.faults.run import run
from tests.faults.stage import LEASE_S

SEED = 7


@pytest.mark.stack
@pytest.mark.timeout(300)
def test_nothing_is_lost_doubled_or_wrong_whatever_fails(tmp_path: Path) -> None:
    heard: list[str] = []
    quick = {kind: weight for kind, weight in MIX.items() if kind.name != "broken"}  # ten tries take their time
    plan = draw(seed=SEED, uploads=150, over_s=18.0, every_s=1.5, lease_s=LEASE_S, mix=quick)
    result = run(plan, tmp_path / "state", heard.append, workers=2)
    assert result.ok, "\n".join((*heard, *lines(result)))


def test_a_seed_is_a_plan() -> None:
    def drawn(seed: int) -> object:
        plan = draw(seed=seed, uploads=100, over_s=60.0, every_s=2.0, lease_s=LEASE_S)
        return [
            (planned.call.recording_id, planned.call.kind.name, planned.call.at_s) for planned in plan.calls
        ], plan.faults

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
