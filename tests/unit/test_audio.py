import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.audio import FLAC, M4A, MP3, OGG, SHORTEST, WAV, Format, sniff

FRAME = bytes.fromhex("fffb9064")  # MPEG-1 layer III, 128 kbit/s, 44.1 kHz, no padding: 417 bytes
LOW = bytes.fromhex("fff34464")  # MPEG-2 layer III, 32 kbit/s, 24 kHz: 96 bytes
PAD = bytes(64)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"RIFF\x24\x00\x00\x00WAVEfmt " + PAD, WAV),
        (b"RF64\xff\xff\xff\xffWAVEds64" + PAD, WAV),
        (b"ID3\x04\x00\x00\x00\x00\x02\x01" + PAD, MP3),
        (FRAME + bytes(413) + FRAME + PAD, MP3),
        (LOW + bytes(92) + LOW + PAD, MP3),
        (b"OggS\x00\x02" + PAD, OGG),
        (b"fLaC\x00\x00\x00\x22" + PAD, FLAC),
        (b"\x00\x00\x00\x20ftypM4A \x00\x00\x00\x00" + PAD, M4A),
        (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00" + PAD, M4A),
    ],
)
def test_the_first_bytes_tell_the_format(head: bytes, expected: Format) -> None:
    assert sniff(head) is expected


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"RIFF\x24\x00\x00\x00WAV",
        b"RIFF\x24\x00\x00\x00AVI LIST" + PAD,
        b"<!DOCTYPE html><html><head>" + PAD,
        b'<?xml version="1.0"?><TwilioResponse>' + PAD,
        b'{"error": "not found", "code": 20404}',
        "\ufeff<html>".encode("utf-16-le") + PAD,  # FF FE: eleven sync bits, and not audio
        bytes.fromhex("fff15080") + PAD,  # AAC in ADTS
        bytes.fromhex("fffb0064") + PAD,  # free bitrate
        bytes.fromhex("fffbf064") + PAD,  # no such bitrate
        bytes.fromhex("fffb9c64") + PAD,  # no such sampling rate
        bytes.fromhex("ffeb9064") + PAD,  # no such version
        FRAME + bytes(413) + b"<html>" + PAD,  # a frame that no frame follows
        b"ID3\x09\x00\x00\x00\x00\x02\x01" + PAD,
        b"ID3\x04\x00\x00\xff\x00\x02\x01" + PAD,
        b"\x00\x00\x00\x20ftypheic" + PAD,
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3" + PAD,
        b"PK\x03\x04" + PAD,
        b"\x1f\x8b\x08\x00" + PAD,
    ],
)
def test_what_is_not_audio_is_not_taken_for_it(head: bytes) -> None:
    assert sniff(head) is None


@given(st.binary(max_size=4096))
def test_any_bytes_get_an_answer(head: bytes) -> None:
    assert sniff(head) is None or len(head) >= SHORTEST


@given(st.sampled_from(["<html>", "<?xml", "{", "[", "<!DOCTYPE", "Error", "not found"]), st.text(max_size=2000))
def test_text_is_never_audio(start: str, rest: str) -> None:
    assert sniff((start + rest).encode()) is None
    assert sniff((start + rest).encode("utf-16")) is None


@given(st.integers(0, 2**32 - 1), st.binary(max_size=200))
def test_a_wave_file_is_known_whatever_its_length_field_says(length: int, rest: bytes) -> None:
    assert sniff(b"RIFF" + struct.pack("<I", length) + b"WAVE" + rest) is WAV


HEADS = [
    b"RIFF\x24\x00\x00\x00WAVEfmt " + PAD,
    b"ID3\x04\x00\x00\x00\x00\x02\x01" + PAD,
    FRAME + bytes(413) + FRAME + PAD,
    LOW + bytes(92) + LOW + PAD,
    b"OggS\x00\x02" + PAD,
    b"fLaC\x00\x00\x00\x22" + PAD,
    b"\x00\x00\x00\x20ftypM4A \x00\x00\x00\x00" + PAD,
]


@given(st.sampled_from(HEADS), st.lists(st.tuples(st.integers(0, 40), st.integers(0, 255)), max_size=6), st.data())
def test_a_real_head_with_bytes_changed_and_cut_off_gets_an_answer(
    head: bytes, changes: list[tuple[int, int]], data: st.DataObject
) -> None:
    mutated = bytearray(head)
    for position, byte in changes:
        mutated[position] = byte
    cut = data.draw(st.integers(0, len(mutated)))
    found = sniff(bytes(mutated[:cut]))
    assert found is None or cut >= SHORTEST


@given(st.sampled_from(HEADS) | st.binary(max_size=600), st.binary(max_size=4096), st.binary(min_size=1, max_size=2000))
def test_nothing_is_read_past_the_head(start: bytes, filling: bytes, rest: bytes) -> None:
    """What copy() holds before it judges is enough: what comes after changes no answer."""
    head = (start + filling + bytes(4096))[:4096]
    assert sniff(head) is sniff(head + rest)
