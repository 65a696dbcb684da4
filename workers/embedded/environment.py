"""The settings of each role of the stack, and the secrets behind them. A role gets its own and no other's."""

import os
import secrets

from workers.embedded import ports
from workers.embedded.servers import BUCKET, access
from workers.embedded.state import State

LOGINS = {
    "worker": "recording_worker",
    "dispatcher": "recording_dispatcher",
    "call_handler": "call_handler",
    "ops": "recording_ops",
    "authenticator": "authenticator",
}
ROLES = ("admin", *LOGINS)
FLOWER_USER = "flower"
KEY_BYTES = 32


def make_secrets(state: State) -> None:
    """Once in the life of a state folder; known ones stay."""
    from workers.grants import GrantKey  # noqa: PLC0415  the servers alone need no PyJWT

    for login in LOGINS.values():
        state.secret(login)
    for name in ("jwt", "flower", "flower_cookie"):
        state.secret(name, bytes_count=KEY_BYTES)
    state.secrets.setdefault("grant_key", GrantKey.generate().text)
    state.secrets.setdefault("seal_key", f"{secrets.token_hex(4)}:{secrets.token_urlsafe(KEY_BYTES)}")


def database_url(state: State, login: str) -> str:
    return f"postgresql://{login}:{state.secrets[login]}@{ports.LOOPBACK}:{state.ports['postgres']}/recordings"


def redis_url(state: State) -> str:
    return f"redis://:{state.secrets['valkey']}@{ports.LOOPBACK}:{state.ports['valkey']}/0"


def storage(state: State, who: str) -> dict[str, str]:
    held = access(state, who)
    return {
        "AWS_ACCESS_KEY_ID": held.access_key_id,
        "AWS_SECRET_ACCESS_KEY": held.secret_access_key,
        "AWS_DEFAULT_REGION": held.region,
        "AWS_ENDPOINT_URL_S3": held.endpoint_url,
        "RECORDINGS_BUCKET": BUCKET,
    }


def flower_url(state: State) -> str:
    return f"http://{ports.LOOPBACK}:{state.ports['flower']}"


def flower_login(state: State) -> str:
    return f"{FLOWER_USER}:{state.secrets['flower']}"


def flower(state: State) -> dict[str, str]:
    """Flower has no role in the database: it sees ids in messages."""
    return {
        "REDIS_URL": redis_url(state),
        "FLOWER_BASIC_AUTH": flower_login(state),
        "FLOWER_ADDRESS": ports.LOOPBACK,
        "FLOWER_PORT": str(state.ports["flower"]),
        "FLOWER_COOKIE_SECRET": state.secrets["flower_cookie"],
    }


def environment(state: State, role: str) -> dict[str, str]:
    """What a process of this role needs to be told, and nothing that another role is told. KeyError: no such role."""
    settings = {"DATABASE_URL": database_url(state, "postgres" if role == "admin" else LOGINS[role])}
    match role:
        case "admin":
            settings |= {"REDIS_URL": redis_url(state)} | storage(state, "admin")
            settings |= {"RECORDINGS_GRANT_KEY": state.secrets["grant_key"]}
            settings |= {"FLOWER_URL": flower_url(state), "FLOWER_BASIC_AUTH": flower_login(state)}
        case "worker":
            settings |= {"REDIS_URL": redis_url(state)} | storage(state, "worker")
            settings |= {"RECORDINGS_SEAL_KEY": state.secrets["seal_key"]}
        case "dispatcher":
            settings |= {"REDIS_URL": redis_url(state), "RECORDINGS_GRANT_KEY": state.secrets["grant_key"]}
        case "authenticator":
            settings |= {"RECORDINGS_JWT_SECRET": state.secrets["jwt"]}
    return settings


OURS = {
    "RECORDINGS_BUCKET",
    "RECORDINGS_GRANT_KEY",
    "RECORDINGS_SEAL_KEY",
    "RECORDINGS_JWT_SECRET",
    "RECORDINGS_JWKS_URL",
}


def tuning() -> dict[str, str]:
    """The caller's RECORDINGS_* values that tune a process, without those that the stack makes itself and without
    passwords, which belong to the migration."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith("RECORDINGS_") and name not in OURS and not name.endswith("_PASSWORD")
    }
