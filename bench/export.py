"""An export of many recordings: the peak of the worker that packs them. It has stored its share of them before."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from uuid import UUID, uuid4
from zipfile import ZipFile

import psycopg
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from bench.cells import SMALL
from bench.ground import Ground
from bench.options import Options
from bench.peers.peer import PATIENCE_S, Cell, PeerFailedError
from bench.peers.project import Crew, Project
from bench.peers.uploads import Uploads
from bench.sample import Results, Spread
from bench.usage import forget_peak, peak_mb
from workers.pickup import Pickup, fetch
from workers.tokens import User

#: As `recordings up` starts them.
SLOTS = (2, 8)
COUNT = 1000
_PACKED_BY = "SELECT worker FROM public.recording_exports WHERE id = %s"


def export(ground: Ground, results: Results, options: Options) -> None:
    count = COUNT // 10 if options.quick else COUNT
    ground.sweep("s3")
    with Project().ready(ground, Cell("export", "s3", SMALL, count, slots=SLOTS)) as crew:
        org_id = ground.org_ids[0]
        uploads = Uploads(ground.on(ground.database, (org_id,)), SMALL)
        uploads.await_all(uploads.enqueue_all(count))
        before, peak = _packed(ground, crew, org_id, count)
    options.tell(f"export             {count:,} recordings: {before:.1f} MB before, peak {peak:.1f} MB")
    results.figures[f"export of {count:,}: worker before, MB"] = Spread(before, before, before)
    results.figures[f"export of {count:,}: worker peak, MB"] = Spread(peak, peak, peak)


def _packed(ground: Ground, crew: Crew, org_id: UUID, count: int) -> tuple[float, float]:
    """The worker's peaks: while it stored, and while it packed."""
    pids = {name: process.pid for name, process in crew.processes.items()}
    before = {name: peak_mb(pid) or 0.0 for name, pid in pids.items()}
    for pid in pids.values():
        forget_peak(pid)
    zip_file = ground.folder / "export.zip"
    with _user(ground, org_id) as pickup:
        asked = pickup.ask_for_many(None, {}, "a benchmark")
        link = pickup.wait_for_zip(asked, PATIENCE_S, lambda _done, _of: None)
        peaks = {name: peak_mb(pid) or 0.0 for name, pid in pids.items()}
        fetch(link, zip_file, lambda _count: None)
    _verify(zip_file, count)
    with ground.admin() as connection:
        row = connection.execute(_PACKED_BY, (asked,)).fetchone()
    packer = str(row[0]).partition("@")[0] if row else ""
    return before[packer], peaks[packer]


@contextmanager
def _user(ground: Ground, org_id: UUID) -> Iterator[Pickup]:
    url = ground.environment("authenticator")["DATABASE_URL"]
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1), poolclass=NullPool)
    with psycopg.connect(url, autocommit=True) as listener:
        yield Pickup(engine, listener, User(uuid4(), org_id))


def _verify(zip_file: Path, count: int) -> None:
    """Every recording is there, and is what the manifest says. The hash of the whole was looked at on its way."""
    with ZipFile(zip_file) as found:
        said = json.loads(found.read("manifest.json"))["recordings"]
        wrong = [one["file"] for one in said if sha256(found.read(one["file"])).hexdigest() != one["sha256"]]
        if wrong or len(said) != count or len(found.namelist()) != count + 2:
            raise PeerFailedError(f"the ZIP is not what was asked for: {len(said)} of {count}, {len(wrong)} differ")
