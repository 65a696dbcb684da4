"""Decodes a recording and encodes it again: a program of its own, which is told nothing and may do little.

A recording is a stranger's bytes, and a decoder is where such bytes do harm. So this process has no settings, no grant
and no connection; it reads standard input and writes standard output, both files; and before it loads the library it
limits its own processor time, memory and output. What kills it is the answer to one request, and to nobody else's.

``encoder.py PARENT FROM TO MOST_BYTES MOST_SECONDS``. Ends with ``DONE``, or with why there is no rendition.
"""

import errno
import os
import resource
import signal
import sys
from collections.abc import Iterator
from typing import Any

from workers.embedded.launch import die_with

DONE, NOT_CONVERTIBLE, TOO_LARGE = 0, 3, 4
#: Of address space: ten times what the library and an hour of speech need. macOS does not keep to it.
_MEMORY_BYTES = 1 << 30

#: By the names of workers.audio: one format each, whatever else the bytes could be taken for.
_DEMUXERS = {"wav": "wav", "mp3": "mp3", "ogg": "ogg", "flac": "flac", "m4a": "mov"}
#: What telephony and its providers write, of the hundreds that the library knows.
_DECODERS = frozenset(
    {
        *("pcm_s16le", "pcm_u8", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_mulaw", "pcm_alaw"),
        *("adpcm_ima_wav", "adpcm_ms", "gsm_ms", "mp3", "mp3float", "vorbis", "opus", "libopus", "flac", "aac", "alac"),
    }
)
_ENCODERS = {"wav": "pcm_s16le", "mp3": "libmp3lame", "ogg": "libopus", "flac": "flac"}
#: For MP3 and Ogg (Opus): bits a second for a channel, below 16 kHz and above; and half the library's pains, for all of
#: them take twice the time and nobody hears it in speech.
_NARROW, _WIDE = 32_000, 64_000
_PAINS = {"mp3": "7", "ogg": "5"}


class Unfit(Exception):
    """Not audio that can be decoded from its beginning to its end."""


def encode(av: Any, kind: str, wanted: str) -> None:
    """Standard input, in ``kind``, to standard output, in ``wanted``: 16 bits, at the source's rate where the format
    has it, mono or stereo. Of one input, one output, to the byte. Raises ``Unfit``, and what the library raises."""
    reading = {"codec_whitelist": ",".join(sorted(_DECODERS)), "protocol_whitelist": ""}
    with (
        open(0, "rb", closefd=False) as source,
        open(1, "r+b", closefd=False) as target,
        av.open(source, format=_DEMUXERS[kind], options=reading) as read,
    ):
        heard = next(iter(read.streams.audio), None)
        if heard is None or heard.codec_context is None or heard.codec_context.name not in _DECODERS:
            raise Unfit
        heard.codec_context.thread_count = 1
        # Closed if all went well, and not otherwise: to close it is to write more.
        written = av.open(target, "w", format=wanted, options={"fflags": "+bitexact"})
        made = _stream(av, written, wanted, heard.codec_context)
        resampler = av.AudioResampler(made.format, made.layout, made.rate)
        for frame in _frames(av, read, heard):
            written.mux([packet for piece in resampler.resample(frame) for packet in made.encode(piece)])
        written.mux(made.encode(None))
        written.close()


def _frames(av: Any, read: Any, heard: Any) -> Iterator[Any]:
    """Every frame, and None behind the last. The end may be cut off, as a provider's is now and then; a hole that the
    decoder sees may not be. Where a format begins anew at any frame it sees none, and nor does a player."""
    is_whole, count = True, 0
    for packet in read.demux(heard):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            is_whole = False
            continue
        for frame in frames:
            if not is_whole:
                raise Unfit
            # Its own time may be anything, in a file of a stranger.
            frame.pts, count = None, count + 1
            yield frame
    if not count:
        raise Unfit
    yield None


def _stream(av: Any, written: Any, wanted: str, heard: Any) -> Any:
    codec = av.Codec(_ENCODERS[wanted], "w")
    options = {"flags": "+bitexact"} | ({"compression_level": _PAINS[wanted]} if wanted in _PAINS else {})
    made = written.add_stream(codec.name, rate=_rate(heard.rate, codec.audio_rates), options=options)
    made.layout = "mono" if heard.channels == 1 else "stereo"
    made.format = codec.audio_formats[0]
    if wanted in _PAINS:
        made.bit_rate = (_NARROW if made.rate < 16_000 else _WIDE) * made.channels
    return made


def _rate(source: int, known: Any) -> int:
    """The source's, or the next above it that the format has, or its highest."""
    if not known or source in known:
        return source
    return int(min((rate for rate in known if rate > source), default=max(known)))


def _limit(most_bytes: int, most_s: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (most_s, most_s + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))


def main(parent: str, kind: str, wanted: str, most_bytes: str, most_s: str) -> int:
    die_with(int(parent), signal.SIGKILL)
    _limit(int(most_bytes), int(most_s))
    import av  # noqa: PLC0415 - under the limits, and nowhere else

    av.logging.set_level(None)
    try:
        encode(av, kind, wanted)
    except MemoryError:
        return TOO_LARGE
    except OSError as error:
        return TOO_LARGE if error.errno == errno.EFBIG else NOT_CONVERTIBLE
    except (Unfit, av.error.FFmpegError, ValueError):
        return NOT_CONVERTIBLE
    return DONE


if __name__ == "__main__":
    # Nothing that the library has registered for the end gets its turn.
    os._exit(main(*sys.argv[1:]))
