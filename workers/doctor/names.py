"""Settings that nobody reads: a name that is one letter off does nothing, and says nothing."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from workers import settings
from workers.doctor.result import Result, ok, warning, wrong

_OURS = "RECORDINGS_"
#: Read by compose, or by the API beside us.
_BESIDE = {"RECORDINGS_WORKERS", "RECORDINGS_CONCURRENCY", "RECORDINGS_JWT_SECRET", "RECORDINGS_JWKS_URL"}
_DANGEROUS = "FLOWER_UNAUTHENTICATED_API"


def known() -> set[str]:
    """Every variable that some process of ours reads."""
    kinds = [kind for kind in vars(settings).values() if isinstance(kind, type) and issubclass(kind, settings.Settings)]
    return _BESIDE | {str(field.validation_alias) for kind in kinds for field in kind.model_fields.values()}


def judge(given: Iterable[str]) -> Iterator[Result]:
    """The names in an environment."""
    names, read = set(given), known()
    strangers = sorted(name for name in names if name.startswith(_OURS) and name not in read)
    for name in strangers:
        near = get_close_matches(name, read, n=1)
        remedy = f"did you mean {near[0]}?" if near else "take it away; docs/operations.md has those that are read"
        yield warning("settings.names", f"{name} is set, and no process reads it", remedy)
    if _DANGEROUS in names:
        yield wrong("settings.names", f"{_DANGEROUS} is set: with it a Flower of one's own is open", "take it away")
    if not strangers and _DANGEROUS not in names:
        yield ok("settings.names", "every RECORDINGS_… that is set is one that is read")
