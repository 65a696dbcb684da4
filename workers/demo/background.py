"""The demo's stack, as a process of its own. Run as a program: ``background.py STATE WORKERS CONCURRENCY PARENT``.

It is asked to stop by its parent, or by the kernel when the parent is killed; then nobody else is left to delete the
folder."""

import os
import sys
from pathlib import Path

from workers.embedded import supervisor
from workers.embedded.state import remove


def main(state_dir: str, workers: str, concurrency: str, parent: str) -> int:
    code = supervisor.main(state_dir, workers, concurrency)
    if os.getppid() != int(parent):
        folder = Path(state_dir)
        remove(folder)
        for file in folder.parent.iterdir():
            file.unlink()
        folder.parent.rmdir()
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
