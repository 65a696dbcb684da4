"""Which audio is this? Answered from the first bytes, never from a header or a file name: providers send error pages
with status 200 and ``audio/x-wav`` on them, and a page stored as a recording is a recording lost (DESIGN section 8)."""

from dataclasses import dataclass

SHORTEST = 12
"""No known format can be told from fewer bytes."""


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of audio: what call_logs calls it, how its key ends, what the store serves it as."""

    name: str
    extension: str
    content_type: str


WAV = Format("wav", "wav", "audio/wav")
MP3 = Format("mp3", "mp3", "audio/mpeg")
OGG = Format("ogg", "ogg", "audio/ogg")
FLAC = Format("flac", "flac", "audio/flac")
M4A = Format("m4a", "m4a", "audio/mp4")
FORMATS = (WAV, MP3, OGG, FLAC, M4A)

_M4A_BRANDS = frozenset(
    {b"M4A ", b"M4B ", b"M4P ", b"mp41", b"mp42", b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"dash"}
)

# MPEG audio layer III, indexed by the header's own fields. Version: 0 = 2.5, 2 = 2, 3 = 1 (1 is reserved).
_KBPS_V1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBPS_V2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def sniff(head: bytes) -> Format | None:
    """The format of a file that begins with ``head``, or None. Give 4096 bytes if there are as many: an MP3 without an
    ID3 tag is believed only if a second frame follows the first, where the head reaches that far."""
    if len(head) < SHORTEST:
        return None
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return WAV
    if head[:5] == b"OggS\x00":
        return OGG
    if head[:4] == b"fLaC":
        return FLAC
    if head[4:8] == b"ftyp" and head[8:12] in _M4A_BRANDS:
        return M4A
    return MP3 if _is_id3(head) or _is_mpeg_frame(head) else None


def _is_id3(head: bytes) -> bool:
    """An ID3v2 tag: the version is 2 to 4 and the four size bytes have no high bit."""
    return head[:3] == b"ID3" and head[3] in (2, 3, 4) and head[4] != 0xFF and max(head[6:10]) < 0x80


def _is_mpeg_frame(head: bytes) -> bool:
    length = _frame_length(head[:4])
    if length is None:
        return False
    following = head[length : length + 4]
    return len(following) < 4 or _frame_length(following) is not None


def _frame_length(header: bytes) -> int | None:
    """Bytes of the layer III frame with this header, or None if it cannot be one. Eleven sync bits alone are no proof:
    UTF-16 text begins with ``FF FE`` and AAC with ``FF F1``; their layer bits tell them apart."""
    if header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    bitrate, rate, emphasis = header[2] >> 4, header[2] >> 2 & 3, header[3] & 3
    if version == 1 or layer != 1 or bitrate in (0, 15) or rate == 3 or emphasis == 2:
        return None
    kbps, samples = (_KBPS_V1[bitrate], 144) if version == 3 else (_KBPS_V2[bitrate], 72)
    return samples * kbps * 1000 // _RATES[version][rate] + (header[2] >> 1 & 1)
