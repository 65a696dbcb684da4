"""Short recordings of a tone, in every format that is taken, and how long one is."""

import io
import math
import struct
import wave
from typing import Any

import av

RATE = 8000


def tone(seconds: float = 2.5, hertz: int = 440) -> bytes:
    """WAV, 8 kHz, mono, 16 bits."""
    file = io.BytesIO()
    with wave.open(file, "wb") as made:
        made.setnchannels(1)
        made.setsampwidth(2)
        made.setframerate(RATE)
        samples = (int(9000 * math.sin(i * hertz * 2 * math.pi / RATE)) for i in range(int(RATE * seconds)))
        made.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
    return file.getvalue()


def encoded(recording: bytes, codec: str, container: str) -> bytes:
    """A WAV as the library writes it otherwise."""
    file = io.BytesIO()
    with av.open(io.BytesIO(recording), "r") as read, av.open(file, "w", format=container) as written:
        stream: Any = written.add_stream(codec, rate=RATE, layout="mono")
        for frame in read.decode(audio=0):
            frame.pts = None
            written.mux(stream.encode(frame))
        written.mux(stream.encode(None))
    return file.getvalue()


def seconds(recording: bytes) -> float:
    """As it is heard."""
    with av.open(io.BytesIO(recording), "r") as read:
        heard = read.streams.audio[0]
        return sum(frame.samples for frame in read.decode(heard)) / heard.rate
