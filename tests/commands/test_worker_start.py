"""``python -m tasks worker``: Celery's worker, without what its command loads besides."""

import subprocess
import sys

LOADED = "import sys, tasks.__main__; print(sorted({'flower', 'tornado'} & set(sys.modules)))"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=60)


def test_a_worker_that_is_started_so_holds_no_web_server() -> None:
    assert run("-c", LOADED).stdout == "[]\n"


def test_its_options_are_celerys_own() -> None:
    shown = run("-m", "tasks", "worker", "--help")
    assert shown.returncode == 0
    assert "--concurrency" in shown.stdout


def test_anything_but_a_worker_is_a_sentence() -> None:
    refused = run("-m", "tasks", "flower")
    assert (refused.returncode, refused.stderr) == (
        1,
        "usage: python -m tasks worker [OPTIONS], as celery -A tasks worker [OPTIONS]\n",
    )
