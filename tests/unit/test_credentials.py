from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.credentials import Credentials, SealKey, parse_seal_keys, seal, unseal
from workers.errors import CredentialsMissing

KEY = SealKey.generate()
ORG = UUID(int=1)
TWILIO = Credentials(username="AC1", secret="hush-hush")


@given(st.text(), st.none() | st.text(), st.uuids(), st.text(max_size=30))
def test_what_was_sealed_opens_again(secret: str, username: str | None, org_id: UUID, provider: str) -> None:
    credentials = Credentials(secret=secret, username=username)
    assert unseal([KEY], org_id, provider, seal(KEY, org_id, provider, credentials)) == credentials


def test_a_sealed_value_does_not_open_for_another_organisation_or_provider() -> None:
    sealed = seal(KEY, ORG, "twilio", TWILIO)
    for org_id, provider in ((uuid4(), "twilio"), (ORG, "vapi")):
        with pytest.raises(CredentialsMissing):
            unseal([KEY], org_id, provider, sealed)


@given(st.data())
def test_an_altered_value_does_not_open(data: st.DataObject) -> None:
    sealed = bytearray(seal(KEY, ORG, "twilio", TWILIO))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CredentialsMissing):
        unseal([KEY], ORG, "twilio", bytes(sealed))


@given(st.binary(max_size=80))
def test_bytes_that_were_never_sealed_do_not_open(sealed: bytes) -> None:
    with pytest.raises(CredentialsMissing):
        unseal([KEY], ORG, "twilio", sealed)


def test_while_keys_are_rotated_old_and_new_values_open() -> None:
    new = SealKey.generate()
    for key in (KEY, new):
        assert unseal([new, KEY], ORG, "twilio", seal(key, ORG, "twilio", TWILIO)) == TWILIO
    with pytest.raises(CredentialsMissing, match="key that this process does not have"):
        unseal([new], ORG, "twilio", seal(KEY, ORG, "twilio", TWILIO))


def test_sealing_twice_gives_different_values_without_the_secret_in_them() -> None:
    first, second = (seal(KEY, ORG, "twilio", TWILIO) for _ in range(2))
    assert first != second
    assert b"hush" not in first


def test_a_key_survives_its_text_form() -> None:
    assert SealKey.parse(KEY.text) == KEY


@pytest.mark.parametrize(
    "text", ["", "abc", ":", "k:", "k:AAAA", "k:not base64 !!", "é:" + "A" * 43, ":" + "A" * 43, "a b:" + "A" * 43]
)
def test_a_text_that_is_no_key_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="a seal key is written") as caught:
        SealKey.parse(text)
    assert "AAAA" not in str(caught.value)


def test_several_keys_are_read_in_their_order_and_a_text_that_holds_a_bad_one_is_refused() -> None:
    new = SealKey.generate()
    assert parse_seal_keys(f"{new.text}, {KEY.text}") == (new, KEY)
    assert parse_seal_keys(KEY.text) == (KEY,)
    for text in ("", ",", f"{KEY.text},", f"{KEY.text},nonsense", f"{KEY.text},{KEY.text}"):
        with pytest.raises(ValueError, match="seal key") as caught:
            parse_seal_keys(text)
        assert KEY.text.partition(":")[2] not in str(caught.value)


def test_nothing_secret_shows_in_a_repr() -> None:
    assert "hush" not in repr(TWILIO)
    assert "AC1" not in repr(TWILIO)
    assert KEY.text.partition(":")[2] not in repr(KEY)
    assert repr(KEY.secret) not in repr(KEY)
