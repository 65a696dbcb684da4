"""``recordings download`` and ``downloads list``: mistakes are sentences, and what users write is only text."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from rich.console import Console

from workers.cli.downloads import _table
from workers.download_report import Download

SECRET = "s" * 40
NOWHERE = "postgresql://authenticator:x@127.0.0.1:1/recordings"


def download(token: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RECORDINGS_")}
    return subprocess.run(
        [sys.executable, "-m", "workers.cli", "download", str(uuid4()), "--json", *options],
        env=clean | {"DATABASE_URL": NOWHERE, "RECORDINGS_TOKEN": token, "COLUMNS": "200"} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def signed(key: str | ec.EllipticCurvePrivateKey, algorithm: str) -> str:
    now = int(time.time())
    claims = {"sub": str(uuid4()), "aud": "authenticated", "iat": now, "exp": now + 60}
    claims |= {"app_metadata": {"org_id": str(uuid4())}}
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": "k"})


@pytest.mark.parametrize(
    ("out", "said"),
    [("missing/x.wav", "is no folder"), ("there.wav", "is there already"), (".", "is a folder")],
)
def test_a_place_that_will_not_do_is_said_before_anything_is_asked_for(tmp_path: Path, out: str, said: str) -> None:
    (tmp_path / "there.wav").touch()
    done = download(signed(SECRET, "HS256"), "--out", str(tmp_path / out), RECORDINGS_JWT_SECRET=SECRET)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_database_that_is_away_is_a_sentence() -> None:
    done = download(signed(SECRET, "HS256"), RECORDINGS_JWT_SECRET=SECRET)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: the database cannot be used")


def test_a_token_that_is_refused_says_by_which_check_and_not_on_stdout() -> None:
    done = download("nonsense", RECORDINGS_JWT_SECRET=SECRET)
    assert (done.returncode, done.stdout) == (2, "")
    assert '"check": "form"' in done.stderr
    assert "nonsense" not in done.stderr


def test_keys_that_cannot_be_read_are_a_sentence() -> None:
    token = signed(ec.generate_private_key(ec.SECP256R1()), "ES256")
    done = download(token, RECORDINGS_JWKS_URL="https://127.0.0.1:1/jwks")
    assert (done.returncode, done.stdout) == (1, "")
    assert "the token cannot be checked" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_a_user_gave_as_reason_is_shown_as_it_is_and_does_nothing_to_a_terminal() -> None:
    reason = "[/bold] f\u00fcr Dr. M\x1b[2J"
    asked = Download(uuid4(), uuid4(), uuid4(), uuid4(), reason, "link", "ready", None, datetime.now(UTC), None)
    shown = StringIO()
    Console(file=shown, width=400).print(_table([asked]))
    assert "[/bold] f\u00fcr Dr. M\N{REPLACEMENT CHARACTER}[2J" in shown.getvalue()
