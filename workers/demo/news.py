"""What happens, in words: one line for an attempt that did not end well."""

from workers.demo.observer import News, Snapshot
from workers.demo.view import View

# By the code: the provider's doing, and what the pipeline makes of it.
_WORDS = {
    "source_not_ready": "not ready yet: looked for again later, no attempt spent",
    "source_error": "the provider answers 503: tried again after a pause",
    "source_throttled": "the provider answers 503 and asks for patience",
    "source_truncated": "the body was cut short: nothing stored, tried again",
    "not_audio": "an HTML page with status 200: refused, it is not audio",
    "too_large": "a file over the limit: refused",
    "source_blocked": "a redirect into a private network: not followed",
    "source_forbidden": "the provider answers 403: given up, an operator's turn",
    "source_gone": "the provider deleted the recording: given up at once",
}


def tell_news(snapshot: Snapshot, view: View, *, lost_before: int = 0) -> int:
    """That attempts were lost with their worker is a milestone, the first time; the rest is for the feed. Returns how
    many attempts have been lost by now."""
    names = {organisation.org_id: organisation.name for organisation in snapshot.organisations}
    lost = [news for news in snapshot.news if news.code == "worker_lost"]
    for news in snapshot.news:
        if news.code != "worker_lost":
            view.note(f"{names.get(news.org_id, '?')}: {_words(news)}")
    if lost:
        leases = "the lease of an upload" if len(lost) == 1 else f"the leases of {len(lost)} uploads"
        tell = view.note if lost_before else view.milestone
        tell(f"{leases} ran out: another attempt takes over")
    return lost_before + len(lost)


def _words(news: News) -> str:
    return _WORDS.get(news.code, f"{news.code}: {news.outcome.replace('_', ' ')}")
