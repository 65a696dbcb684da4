"""What a run of the mutants came to, in lines."""

from collections import Counter
from collections.abc import Iterator, Sequence

from tests.isolation.mutation.verdict import Verdict


def lines(verdicts: Sequence[Verdict], seconds: float) -> Iterator[str]:
    """Kind by kind, then all together, then who survived."""
    kinds = Counter(verdict.mutant.kind for verdict in verdicts)
    behaviour = Counter(verdict.mutant.kind for verdict in verdicts if verdict.matrix)
    static = Counter(verdict.mutant.kind for verdict in verdicts if verdict.checks and not verdict.matrix)
    yield f"{'kind':14}{'mutants':>9}{'matrix':>9}{'static':>9}{'survived':>10}"
    for kind, count in kinds.most_common():
        survived = count - behaviour[kind] - static[kind]
        yield f"{kind:14}{count:9,}{behaviour[kind]:9,}{static[kind]:9,}{survived:10,}"
    killed = behaviour.total() + static.total()
    score = 100 * killed / max(1, len(verdicts))
    yield (
        f"{len(verdicts):,} mutants in {seconds:.0f} s: {behaviour.total():,} noticed by the matrix, "
        f"{static.total():,} by a static check alone, {len(verdicts) - killed:,} survived. "
        f"Score {score if killed == len(verdicts) else min(score, 99.9):.1f} %"
    )
    for verdict in verdicts:
        if not verdict.killed:
            yield f"survived: {verdict.mutant.kind}: {verdict.mutant.name}"
