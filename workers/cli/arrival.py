"""A file that a command is to write: looked at before anything is asked for, and filled with its progress shown."""

import os
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

from workers.pickup import Link, fetch


def check(target: Path, *, force: bool) -> None:
    """Whether the file can be written there, and may be."""
    folder = target.absolute().parent
    if not folder.is_dir():
        raise typer.BadParameter(f"{folder} is no folder")
    if not os.access(folder, os.W_OK):
        raise typer.BadParameter(f"{folder} cannot be written to: give --out another place")
    if target.is_dir():
        raise typer.BadParameter(f"{target} is a folder: give --out the name of a file")
    if target.exists() and not force:
        raise typer.BadParameter(f"{target} is there already: give --out another name, or --force")


def bring(link: Link, target: Path, *, quiet: bool) -> None:
    """The bytes, compared with the hash. Raises ``DownloadError``; nothing is left behind then."""
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as progress:
        bar = progress.add_task("", total=link.size_bytes)
        fetch(link, target, lambda count: progress.advance(bar, count))
