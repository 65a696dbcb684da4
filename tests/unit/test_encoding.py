"""The encoder, as the program that it is: what it makes, what it refuses, and what it may not do."""

import ast
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from tests.tones import encoded, seconds, tone
from workers import encoding
from workers.demo.recordings import wav
from workers.doorbell import RENDITION_MARK
from workers.drain import Drain
from workers.encoding import EncoderLost, Encoding, NotConvertible, RenditionTooLarge
from workers.errors import Interrupted
from workers.renditions import rendition_key

ROOT = Path(__file__).parents[2]
TONE = tone()
LONG = wav(7, 20_000_000)
MANY = 100_000_000


def encode(content: bytes, kind: str, wanted: str, most_bytes: int = MANY, **limits: float) -> bytes:
    made = Encoding(most_bytes, Drain(0.0), **limits)  # type: ignore[arg-type]
    return run(made, content, kind, wanted)


def run(made: Encoding, content: bytes, kind: str, wanted: str) -> bytes:
    with TemporaryFile() as source, TemporaryFile() as target:
        source.write(content)
        made.encode(source, target, kind, wanted)
        target.seek(0)
        return target.read()


def test_of_one_recording_there_is_one_rendition_to_the_byte() -> None:
    first, second = (encode(TONE, "wav", "ogg") for _ in range(2))
    assert first == second
    assert seconds(first) == pytest.approx(2.5, abs=0.02)


def test_a_recording_that_was_cut_off_is_had_as_far_as_it_goes() -> None:
    whole = encoded(TONE, "flac", "flac")
    made = seconds(encode(whole[: len(whole) * 2 // 3], "flac", "wav"))
    assert 1.0 < made < 2.5


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"fLaC" + os.urandom(9_000), "flac"),
        (b"OggS\0" + os.urandom(9_000), "ogg"),
        (b"ID3\4\0\0\0\0\0\0" + os.urandom(9_000), "mp3"),
        (b"RIFF\xff\xff\0\0WAVE" + os.urandom(9_000), "wav"),
        (b"\0\0\0\x20ftypM4A " + os.urandom(9_000), "m4a"),
        (encoded(TONE, "aac", "ipod")[:-500], "m4a"),
        (tone(0.0), "wav"),
        (b"", "wav"),
        # Known to the library, and not a recording: what it is was read from its first bytes, and it is held to that.
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n", "wav"),
        (encoded(TONE, "flac", "flac"), "mp3"),
    ],
    ids=["flac", "ogg", "mp3", "wav", "m4a", "m4a-cut", "silent", "empty", "playlist", "misnamed"],
)
def test_what_cannot_be_decoded_is_not_convertible(content: bytes, kind: str) -> None:
    with pytest.raises(NotConvertible):
        encode(content, kind, "mp3")


def test_a_codec_that_telephony_does_not_use_is_not_decoded() -> None:
    with pytest.raises(NotConvertible):
        encode(encoded(TONE, "adpcm_yamaha", "wav"), "wav", "mp3")


def test_what_would_become_too_large_is_not_made() -> None:
    with pytest.raises(RenditionTooLarge):
        encode(TONE, "wav", "wav", most_bytes=20_000)


def test_what_takes_too_much_of_a_processor_is_not_made() -> None:
    with pytest.raises(RenditionTooLarge):
        encode(LONG, "wav", "mp3", most_cpu_s=1)


def test_an_encoder_that_a_slow_machine_holds_up_may_be_tried_again() -> None:
    with pytest.raises(EncoderLost):
        encode(LONG, "wav", "mp3", most_s=0.1)


def test_a_drain_that_is_over_ends_it() -> None:
    drain = Drain(0.0)
    drain.begin()
    with pytest.raises(Interrupted):
        run(Encoding(MANY, drain), LONG, "wav", "mp3")


def test_a_decoder_that_crashes_is_an_answer_about_the_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    started = subprocess.Popen
    crash = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"]
    monkeypatch.setattr(subprocess, "Popen", lambda command, **more: started(crash, **more))
    with pytest.raises(NotConvertible):
        encode(TONE, "wav", "mp3")


def test_the_encoder_is_told_nothing_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://secret@127.0.0.1/x")
    started, seen = subprocess.Popen, []

    def spy(command: list[str], **more: object) -> object:
        seen.append((command, more))
        return started(command, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", spy)
    encode(TONE, "wav", "mp3")
    ((command, more),) = seen
    assert more["env"] == {}
    assert not any("secret" in word for word in command)


def test_nothing_else_loads_the_library() -> None:
    """Not a worker of threads, and not the process that has the grant."""
    loading = set()
    for file in (*(ROOT / "workers").rglob("*.py"), *(ROOT / "tasks").rglob("*.py"), *(ROOT / "schema").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            named += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            if any(name.partition(".")[0] == "av" for name in named):
                loading.add(file.relative_to(ROOT).as_posix())
    assert loading == {"workers/encoder.py"}
    heard = "import sys, workers.encoding, workers.converter; print('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", heard], capture_output=True, text=True, check=True).stdout == "False\n"


def test_it_has_less_time_than_the_mark_of_its_request() -> None:
    """Or it would be rung for again while it is made."""
    assert encoding.MOST_CPU_S < encoding.MOST_S < RENDITION_MARK.total_seconds()


def test_a_rendition_lies_beside_its_original_and_is_named_by_its_bytes() -> None:
    assert rendition_key("o/2026/05/c/u.wav", "0123456789abcdef" * 4, "mp3") == "o/2026/05/c/u.0123456789abcdef.mp3"
