"""Redis or Valkey: who may come in, what it forgets, and which version it is."""

from collections.abc import Iterator, Mapping
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError
from redis.retry import Retry

from workers.broker import Broker
from workers.doctor import network
from workers.doctor.result import Result, ok, unseen, warning, wrong

_WITHIN_S = 3.0
_OLDEST = (6, 2)
#: A script breaks out of its sandbox: fixed in these, by server and line.
_LUA = "CVE-2025-49844"
_FIXED = {
    "redis": {(6, 2): 20, (7, 2): 11, (7, 4): 6, (8, 0): 4, (8, 2): 2},
    "valkey": {(7, 2): 11, (8, 0): 6, (8, 1): 4},
}
_ADMIN = "look with an administrator's REDIS_URL"


def connect(url: str, **more: Any) -> redis.Redis:
    """One try. ``url`` as ``Broker.parse`` takes it."""
    return redis.Redis.from_url(
        Broker.parse(url).url,
        socket_timeout=_WITHIN_S,
        socket_connect_timeout=_WITHIN_S,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
        **more,
    )


def check(client: redis.Redis, url: str) -> Iterator[Result]:
    """Raises redis-py's errors where it does not answer."""
    client.ping()
    broker = Broker.parse(url)
    yield network.encryption(
        "broker.encrypted",
        network.place(broker.host),
        is_encrypted=broker.tls is not None,
        is_verified=broker.is_verified,
        remedy="use rediss://, with ?ssl_ca_certs=FILE where the authority is your own",
    )
    yield _strangers(url)
    try:
        info: Mapping[str, Any] = client.info()
    except NoPermissionError:
        yield ok("broker.reached", "Redis answers")
        yield unseen("broker.settings", "not checked: this login may not ask for the server's settings", _ADMIN)
    else:
        yield from judge_version(info)
        yield from judge_memory(info)
    yield _default_user(client)


def judge_version(info: Mapping[str, Any]) -> Iterator[Result]:
    kind = str(info.get("server_name") or "redis")
    text = str(info.get(f"{kind}_version") or info["redis_version"])
    major, minor, patch = (int(part) for part in [*text.split("."), "0", "0"][:3])
    version = (major, minor)
    name = f"{kind.capitalize()} {text}"
    if version < _OLDEST:
        yield wrong("broker.version", f"{name} is older than Celery's transport can do with", "6.2 or newer")
        return
    yield ok("broker.reached", f"{name} answers")
    lines = _FIXED.get(kind, {})
    fixed = lines.get(version, 0 if version > max(lines, default=(0, 0)) else 10_000)
    if patch < fixed:
        remedy = "take its newest minor release" if fixed < 10_000 else "its line is no longer mended: take a newer one"
        yield warning("broker.version", f"{name} has {_LUA} (a script breaks out of its sandbox)", remedy)


def judge_memory(info: Mapping[str, Any]) -> Iterator[Result]:
    if info.get("aof_enabled"):
        yield ok("broker.persistence", "the append-only file is on")
    else:
        sentence = "the append-only file is off: a restart forgets every doorbell, and they are rung again later"
        yield warning("broker.persistence", sentence, "appendonly yes, appendfsync everysec")
    policy = info.get("maxmemory_policy")
    if policy == "noeviction":
        yield ok("broker.eviction", "nothing is evicted")
    else:
        sentence = f"maxmemory-policy is {policy}: doorbells, and which queue is whose, may vanish without a word"
        yield wrong("broker.eviction", sentence, "maxmemory-policy noeviction")


def _strangers(url: str) -> Result:
    """Somebody without a login."""
    with connect(url, username=None, password=None) as client:
        # The URL's own login would go first.
        client.connection_pool.connection_kwargs.update(username=None, password=None)
        try:
            client.ping()
        except (AuthenticationError, ResponseError):
            return ok("broker.closed", "it answers nobody without a login")
        except RedisError as error:
            return unseen("broker.closed", f"not checked: {type(error).__name__}")
    remedy = "user default off, and a user for each process (docker-compose.yml has the lines)"
    return wrong("broker.closed", "it lets everybody in without a password", remedy)


def _default_user(client: redis.Redis) -> Result:
    try:
        user: Any = client.acl_getuser("default")
    except (NoPermissionError, ResponseError):
        return unseen("broker.users", "not checked: this login may not see the users", _ADMIN)
    return judge_default(user["flags"])


def judge_default(flags: list[str]) -> Result:
    if "off" in flags:
        return ok("broker.users", "the default user is off: each process has a login of its own")
    return warning(
        "broker.users",
        "the default user is on: one password may do everything, in every process",
        "a user for each process, and user default off (docker-compose.yml has the lines)",
    )


def clock(client: redis.Redis) -> float | None:
    """Unix seconds; None where this login may not ask."""
    try:
        seconds, microseconds = client.time()
    except NoPermissionError:
        return None
    return float(seconds) + float(microseconds) / 1e6
