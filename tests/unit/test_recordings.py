import io
import wave
from itertools import islice

import pytest

from workers.audio import WAV, sniff
from workers.demo.recordings import Recording, wav


@pytest.mark.parametrize("size", [44, 46, 5_001, 200_000, 1_000_003])
def test_a_made_recording_is_a_real_wav_of_exactly_this_size(size: int) -> None:
    data = wav(1, size)
    assert len(data) == size
    assert sniff(data) is WAV
    with wave.open(io.BytesIO(data)) as opened:
        assert (opened.getnchannels(), opened.getsampwidth(), opened.getframerate()) == (1, 2, 8000)
        assert opened.getnframes() == (size - 44) // 2


def test_a_recording_is_a_function_of_its_seed() -> None:
    assert wav(1, 100_000) == wav(1, 100_000)
    assert wav(1, 100_000) != wav(2, 100_000)


@pytest.mark.parametrize("start", [0, 10, 44, 45, 65_580, 99_999, 100_000])
def test_any_rest_of_a_recording_can_be_made_without_the_beginning(start: int) -> None:
    assert b"".join(Recording(3, 100_000).blocks(start)) == wav(3, 100_000)[start:]


def test_a_gigabyte_begins_at_once() -> None:
    assert sum(map(len, islice(Recording(1, 1 << 30).blocks(), 4))) == 44 + 3 * 65_536
