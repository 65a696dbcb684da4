"""A source that is slow for as long as a test needs it under way, and then at once done."""

from dataclasses import dataclass, field

from workers.demo.behaviours import Answer, Headers

_AT_ONCE = 1e12


@dataclass(slots=True)
class Throttle:
    """A provider's behaviour. Slow enough to outlast a look at what is under way on a busy machine: nobody waits for
    its end."""

    bytes_per_s: float
    _answers: list[Answer] = field(default_factory=list)

    def __call__(self, _: Headers, answer: Answer) -> None:
        answer.bytes_per_s = self.bytes_per_s
        self._answers.append(answer)

    def let_go(self) -> None:
        """What is still to come, and whatever is asked for from here on, comes at full speed."""
        self.bytes_per_s = _AT_ONCE
        for answer in self._answers:
            answer.bytes_per_s = _AT_ONCE
