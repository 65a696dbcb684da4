from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.hashing import Beside


@given(st.lists(st.binary(max_size=5000), max_size=8))
def test_beside_the_copy_the_hash_is_the_same(pieces: list[bytes]) -> None:
    with Beside() as hashing:
        for piece in pieces:
            hashing.update(memoryview(piece))
        assert hashing.digest() == sha256(b"".join(pieces)).digest()
        hashing.update(memoryview(b"more"))
        assert hashing.digest() == sha256(b"".join([*pieces, b"more"])).digest()


def test_a_buffer_is_free_again_when_the_next_update_returns() -> None:
    one, other = bytearray(b"x" * 1_000_000), bytearray(b"y" * 1_000_000)
    with Beside() as hashing:
        for _ in range(10):
            hashing.update(memoryview(one))
            hashing.update(memoryview(other))
            one[:] = b"z" * len(one)
            hashing.update(memoryview(one))
            other[:] = b"y" * len(other)
            one, other = bytearray(b"x" * 1_000_000), bytearray(b"y" * 1_000_000)
        found = hashing.digest()
    assert found == sha256((b"x" * 1_000_000 + b"y" * 1_000_000 + b"z" * 1_000_000) * 10).digest()


def test_what_cannot_be_hashed_is_said_where_it_is_waited_for() -> None:
    with Beside() as hashing:
        hashing.update(memoryview(bytes(10))[::2])  # not contiguous
        with pytest.raises(BufferError):
            hashing.digest()
