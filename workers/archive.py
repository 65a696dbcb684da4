"""Many recordings in one ZIP, as a stream: never more of it in memory than a buffer and the list of its names.

Recordings are stored as they are: audio hardly gets smaller. The manifests come last, when everything that they say has
been read and proven.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from io import StringIO
from typing import Any

from zipstream import ZIP_DEFLATED, ZipStream

from workers.exports import Export, Part

_COLUMNS = ("call_id", "file", "started_at", "duration_s", "size_bytes", "sha256")

Read = Callable[[Part], Iterable[bytes]]
Parts = Callable[[], Iterable[Part]]


def archive(export: Export, parts: Parts, read: Read) -> Iterator[bytes]:
    """The bytes of the ZIP: each recording as ``read`` gives it, manifest.json, manifest.csv. ``parts`` is asked three
    times, and must answer alike. Errors of ``read`` are raised as they are: the ZIP has no end then."""
    stream = ZipStream()
    for part in parts():
        stream.add(read(part), part.filename)
        yield from stream.all_files()
    stream.add(_json(export, parts()), "manifest.json", compress_type=ZIP_DEFLATED)
    stream.add(_csv(parts()), "manifest.csv", compress_type=ZIP_DEFLATED)
    yield from stream.finalize()


def entry(part: Part) -> dict[str, Any]:
    """What the manifests say of one recording: no name, no number, nothing that was said."""
    started = part.started_at and part.started_at.isoformat()
    values = (str(part.call_id), part.filename, started, part.duration_s, part.size_bytes, part.sha256)
    return dict(zip(_COLUMNS, values, strict=True))


def _json(export: Export, parts: Iterable[Part]) -> Iterator[bytes]:
    about = {"export_id": str(export.id), "requested_at": export.created_at.isoformat()}
    head = json.dumps(about)[:-1]
    yield f'{head}, "recordings": ['.encode()
    separator = "\n"
    for part in parts:
        yield f"{separator}{json.dumps(entry(part))}".encode()
        separator = ",\n"
    yield b"\n]}\n"


def _csv(parts: Iterable[Part]) -> Iterator[bytes]:
    yield (",".join(_COLUMNS) + "\r\n").encode()
    for part in parts:
        line = StringIO()
        csv.DictWriter(line, _COLUMNS).writerow(entry(part))
        yield line.getvalue().encode()
