"""When the supervisor gives up on a server: when it dies again and again within seconds, never for its age."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from workers.embedded import stack as module
from workers.embedded.errors import StartFailed
from workers.embedded.stack import SERVER_DEATHS, Stack
from workers.embedded.valkey import Valkey


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Of its servers, Valkey alone."""
    stack = Stack(tmp_path / "state")
    servers = stack.servers
    servers.build(servers.state)
    servers.parts = [part for part in servers.parts if isinstance(part, Valkey)]
    servers.restart("valkey")
    yield stack
    servers.__exit__()


def die(stack: Stack) -> list[str]:
    stack.servers.processes["valkey"].kill()
    return stack.tend()


def test_a_server_that_dies_once_in_a_while_is_always_started_again(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STEADY_S", 0.0)
    for _ in range(SERVER_DEATHS * 3):
        assert die(stack) == ["valkey"]


def test_a_server_that_keeps_dying_stops_the_stack(stack: Stack) -> None:
    for _ in range(SERVER_DEATHS):
        assert die(stack) == ["valkey"]
    with pytest.raises(StartFailed, match="valkey keeps dying"):
        die(stack)
