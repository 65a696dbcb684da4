"""What must hold of docker-compose.yml beyond its schema. Each rule returns what is wrong, in words."""

import re
from collections.abc import Callable, Iterator
from typing import Any

Compose = dict[str, Any]
Rule = Callable[[Compose], list[str]]

REFERENCE = re.compile(r"[a-z0-9]+(?:[._/-][a-z0-9]+)*:(?P<tag>\w[\w.-]{0,127})")
PINNED = re.compile(r"\d+\.\d+")
RESTART = re.compile(r"no|always|unless-stopped|on-failure(:\d+)?")
INTERPOLATION = re.compile(r"\$\{(?P<name>\w+)(?P<rest>[^}]*)\}")
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|AUTH|(?<!ACCESS)_KEY(?!_ID)")
PASSWORD_IN_URL = re.compile(r"://[^:/@]*:(?P<password>.*)@")

# Who may hold a secret: the server or the database that checks it, and the one process that shows it.
HOLDERS = {
    "POSTGRES_PASSWORD": {"postgres", "migrate"},
    "RECORDINGS_DISPATCHER_PASSWORD": {"migrate", "dispatcher"},
    "RECORDINGS_WORKER_PASSWORD": {"migrate", "worker", "renditions"},
    "RECORDINGS_CALL_HANDLER_PASSWORD": {"migrate"},
    "RECORDINGS_OPS_PASSWORD": {"migrate"},
    "RECORDINGS_AUTHENTICATOR_PASSWORD": {"migrate"},
    "RECORDINGS_GRANT_KEY": {"migrate", "dispatcher"},
    "RECORDINGS_SEAL_KEY": {"worker"},
    "VALKEY_DISPATCHER_PASSWORD": {"valkey", "dispatcher"},
    "VALKEY_WORKER_PASSWORD": {"valkey", "worker", "renditions"},
    "VALKEY_FLOWER_PASSWORD": {"valkey", "flower"},
    "S3_SETUP_SECRET_KEY": {"s3", "s3-init"},
    "S3_WORKER_SECRET_KEY": {"s3", "worker", "renditions"},
    "S3_ENCRYPTION_KEY": {"s3"},
    "FLOWER_PASSWORD": {"flower"},
    "FLOWER_COOKIE_SECRET": {"flower"},
}
# Who may be on a network: who serves there, and who comes to it.
MEMBERS = {
    "database": {"postgres", "migrate", "dispatcher", "worker", "renditions"},
    "broker": {"valkey", "dispatcher", "worker", "renditions", "flower"},
    "storage": {"s3", "s3-init", "worker", "renditions"},
    "egress": {"worker"},
    "desk": {"flower"},
}


def services(compose: Compose) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from compose["services"].items()


def environment(service: dict[str, Any]) -> dict[str, str]:
    """The variables that are given a value; the others are only passed on."""
    return {name: value for name, value in service.get("environment", {}).items() if value is not None}


def strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from strings(part)


def interpolations(value: object) -> Iterator[tuple[str, str]]:
    """Each ${NAME…} as compose reads it: `$$` is a dollar of the shell's."""
    for text in strings(value):
        for match in INTERPOLATION.finditer(text.replace("$$", "")):
            yield match["name"], match["rest"]


def waits(service: dict[str, Any]) -> dict[str, str]:
    return {name: wait["condition"] for name, wait in service.get("depends_on", {}).items()}


def images_are_pinned(compose: Compose) -> list[str]:
    wrong = []
    for name, service in services(compose):
        match = REFERENCE.fullmatch(str(service.get("image")))
        if not match or not PINNED.match(match["tag"]):
            wrong.append(f"{name}: {service.get('image')} is no image with a version")
    return wrong


def restarts_are_known(compose: Compose) -> list[str]:
    return [
        f"{name}: restart {service.get('restart')!r} is none that Docker knows"
        for name, service in services(compose)
        if not RESTART.fullmatch(str(service.get("restart")))
    ]


def waits_can_end(compose: Compose) -> list[str]:
    wrong = []
    for name, service in services(compose):
        for other, condition in waits(service).items():
            awaited = compose["services"].get(other)
            ends = awaited is not None and (
                (condition == "service_healthy" and "test" in awaited.get("healthcheck", {}))
                or (condition == "service_completed_successfully" and awaited.get("restart") == "no")
            )
            if not ends:
                wrong.append(f"{name} would wait for ever for {other} to be {condition}")
    return wrong


def nobody_waits_in_a_circle(compose: Compose) -> list[str]:
    left = {name: set(waits(service)) for name, service in services(compose)}
    while ready := {name for name, others in left.items() if not others & left.keys()}:
        left = {name: others for name, others in left.items() if name not in ready}
    return [f"{name} waits for itself, by way of {sorted(others)}" for name, others in left.items()]


def references_exist(compose: Compose) -> list[str]:
    wrong = []
    for name, service in services(compose):
        for kind in ("networks", "volumes", "secrets", "configs"):
            used = {str(item).split(":", 1)[0] for item in service.get(kind, [])}
            wrong += [f"{name}: no {kind} {item}" for item in used - (compose.get(kind) or {}).keys()]
    return wrong


def secrets_have_no_default(compose: Compose) -> list[str]:
    return [
        f"${{{name}{rest}}}: a secret is written ${{NAME:?what to set}}"
        for name, rest in interpolations(compose)
        if SECRET.search(name) and not re.fullmatch(r":\?\S.+", rest)
    ]


def passwords_are_not_written_down(compose: Compose) -> list[str]:
    wrong = []
    for name, service in services(compose):
        for variable, value in environment(service).items():
            in_url = PASSWORD_IN_URL.search(value)
            secret = in_url["password"] if in_url else value if SECRET.search(variable) else None
            if secret is not None and not INTERPOLATION.search(secret):
                wrong.append(f"{name}: {variable} is written down")
    return wrong


def secrets_stay_with_their_holders(compose: Compose) -> list[str]:
    return [
        f"{name} has no business with {variable}"
        for name, service in services(compose)
        for variable, _ in interpolations(service)
        if SECRET.search(variable) and name not in HOLDERS.get(variable, set())
    ]


def only_flower_is_published_and_only_here(compose: Compose) -> list[str]:
    return [
        f"{name} publishes {port}"
        for name, service in services(compose)
        for port in service.get("ports", [])
        if name != "flower" or not str(port).startswith("127.0.0.1:")
    ] + [f"{name} is on the host's own network" for name, service in services(compose) if "network_mode" in service]


def networks_divide(compose: Compose) -> list[str]:
    """Who shares no network cannot talk: Flower to no database, the dispatcher to no store, only workers outwards."""
    wrong = [
        f"{name} may not be on the network {network}"
        for name, service in services(compose)
        for network in service.get("networks", ["default"])
        if name not in MEMBERS.get(network, set())
    ]
    for network, settings in compose["networks"].items():
        masked = (settings.get("driver_opts") or {}).get("com.docker.network.bridge.enable_ip_masquerade") == "false"
        if network != "egress" and not settings.get("internal") and not masked:
            wrong.append(f"the network {network} leads out")
    return wrong


def containers_are_closed(compose: Compose) -> list[str]:
    wanted = {
        "init": True,
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
    }
    wrong = []
    for name, service in services(compose):
        wrong += [f"{name}: {key} is not {value}" for key, value in wanted.items() if service.get(key) != value]
        wrong += [f"{name}: no {key}" for key in ("mem_limit", "pids_limit") if not service.get(key)]
        wrong += [f"{name}: {key} opens it" for key in ("privileged", "cap_add", "pid", "ipc") if key in service]
        if "build" not in service and service.get("user") in (None, "root", "0"):
            wrong.append(f"{name} runs as root")
        if not service.get("logging", {}).get("options", {}).get("max-size"):
            wrong.append(f"{name}: its log grows for ever")
    return wrong


def long_running_services_are_watched(compose: Compose) -> list[str]:
    return [
        f"{name}: no {key}"
        for name, service in services(compose)
        for key in ("healthcheck", "stop_grace_period")
        if service.get("restart") != "no" and key not in service
    ]


def flower_asks_for_a_password(compose: Compose) -> list[str]:
    """With FLOWER_UNAUTHENTICATED_API anybody may send any task."""
    given = compose["services"]["flower"].get("environment", {})
    wrong = [] if ":" in str(given.get("FLOWER_BASIC_AUTH")) else ["flower: no FLOWER_BASIC_AUTH"]
    return wrong + [f"flower: {name}" for name in given if name == "FLOWER_UNAUTHENTICATED_API"]


RULES: tuple[Rule, ...] = (
    images_are_pinned,
    restarts_are_known,
    waits_can_end,
    nobody_waits_in_a_circle,
    references_exist,
    secrets_have_no_default,
    passwords_are_not_written_down,
    secrets_stay_with_their_holders,
    only_flower_is_published_and_only_here,
    networks_divide,
    containers_are_closed,
    long_running_services_are_watched,
    flower_asks_for_a_password,
)
