"""Which logins Flower may be started with. Pure: what is wrong is a ``ValueError`` that does not repeat it."""

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from workers.broker import is_loopback

#: Of what a person types who means to change it later.
_WORDS = """
admin administrator celery change changeme default demo example flower guest here letmein login me monitor my operator
passw0rd password passwort please qwerty recording recordings replace root secret test the this to user welcome your
"""
_FEWEST = 12
_FEWEST_DIFFERENT = 6
#: Everybody can have an address there.
_EVERYBODY = """
gmail.com googlemail.com outlook.com hotmail.com live.com yahoo.com icloud.com me.com aol.com gmx.de gmx.net web.de
proton.me protonmail.com mail.ru yandex.ru qq.com 163.com
"""
OKTA = "flower.views.auth.OktaLoginHandler"
_PROVIDERS = (OKTA, *(f"flower.views.auth.{name}LoginHandler" for name in ("GoogleAuth2", "Github", "GitLab")))


def is_guessable(secret: str, *known: str) -> bool:
    """Whether it is made of a few characters, or of nothing but common words, ``known`` ones, digits and signs."""
    words = "|".join(
        re.escape(word.lower()) for word in sorted({*_WORDS.split(), *known}, key=len, reverse=True) if word
    )
    return len(set(secret)) < _FEWEST_DIFFERENT or bool(re.fullmatch(rf"(?:{words}|[^a-z])+", secret.lower()))


def check_basic_auth(text: str) -> None:
    """``user:password``, several with commas between, as Flower reads them: the weakest of them is a way in."""
    for login in text.split(","):
        user, _, password = login.partition(":")
        if not user or len(password) < _FEWEST:
            raise ValueError(f"must be user:password, the password of {_FEWEST} characters or more")
        if is_guessable(password, user):
            raise ValueError("has a password that can be guessed: take a random one")


def check_cookie_secret(text: str) -> None:
    """With it everybody signs a session of their own."""
    if len(text) < 32 or is_guessable(text):
        raise ValueError("must be 32 random characters or more; leave it unset to have one invented at each start")


def check_addresses(pattern: str) -> None:
    """FLOWER_AUTH: addresses with ``|`` between, or ``.*@a-domain-of-yours``."""
    from flower.utils.authentication import validate_auth_option  # noqa: PLC0415 - only where Flower is started

    domains = {address.rpartition("@")[2].lower() for address in pattern.split("|")}
    if not validate_auth_option(pattern) or "" in domains or not all("@" in one for one in pattern.split("|")):
        raise ValueError("must be addresses with | between them, or .*@your.domain")
    if "*" in pattern and domains & {*_EVERYBODY.split()}:
        raise ValueError("lets everybody in who has an address at a public provider: name the addresses")


def check_provider(name: str) -> None:
    """FLOWER_AUTH_PROVIDER: one of Flower's own. Another class could let anybody in."""
    if name not in _PROVIDERS:
        raise ValueError(f"must be one of: {', '.join(_PROVIDERS)}")


def check_private(uri: str) -> None:
    """Where a code or a token that opens travels to."""
    parts = urlsplit(uri)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        raise ValueError("must be https://")


CHECKS: dict[str | None, Callable[[str], None]] = {
    "auth": check_addresses,
    "oauth2_redirect_uri": check_private,
    "okta_base_url": check_private,
}
