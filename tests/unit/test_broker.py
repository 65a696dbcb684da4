"""REDIS_URL: what is meant by it, and what is refused."""

import ssl
from pathlib import Path

import pytest

from workers.broker import Broker

FAR = "redis.example"


def test_tls_verifies_unless_told_otherwise(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.touch()
    url = f"rediss://u:p@{FAR}:6380/1?ssl_ca_certs={authority}&visibility_timeout=9"
    broker = Broker.parse(url)
    assert broker.celery_settings == {
        "broker_url": f"{url}&ssl_cert_reqs=required",
        "broker_use_ssl": {
            "ssl_ca_certs": str(authority),
            "ssl_cert_reqs": ssl.CERT_REQUIRED,
            "ssl_check_hostname": True,
        },
    }
    broker.refuse_strangers(())


def test_plain_redis_is_for_this_machine() -> None:
    for url in (
        "redis://localhost",
        "redis://127.0.0.1:7/0",
        "redis://127.8.8.8",
        "redis://[::1]:6379/0",
        "redis:///0",
    ):
        Broker.parse(url).refuse_strangers(())
    assert Broker.parse("redis://localhost").celery_settings == {"broker_url": "redis://localhost"}


@pytest.mark.parametrize("host", [FAR, "10.0.0.7", "127.0.0.1.example", "localhost.example", "[fd00::1]"])
def test_plain_redis_elsewhere_is_refused_unless_the_host_is_named(host: str) -> None:
    broker = Broker.parse(f"redis://:hush@{host}/0")
    with pytest.raises(ValueError, match="not encrypted") as refused:
        broker.refuse_strangers(("another.example",))
    assert "hush" not in str(refused.value)
    broker.refuse_strangers((host.strip("[]"),))


@pytest.mark.parametrize("option", ["ssl_cert_reqs=none", "ssl_cert_reqs=CERT_OPTIONAL", "ssl_check_hostname=false"])
def test_tls_that_does_not_verify_is_for_this_machine(option: str) -> None:
    with pytest.raises(ValueError, match="does not verify"):
        Broker.parse(f"rediss://{FAR}?{option}").refuse_strangers(())
    Broker.parse(f"rediss://localhost?{option}").refuse_strangers(())


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("amqp://x", "must start with"),
        (f"redis://{FAR}?ssl_ca_certs=/x", "only rediss"),
        (f"rediss://{FAR}?ssl_ca_certs=/not/there", "not there: ssl_ca_certs"),
        (f"rediss://{FAR}?ssl_cert_reqs=perhaps", "none of"),
        (f"rediss://{FAR}?ssl_cert_req=none", "unknown TLS options"),
    ],
)
def test_what_cannot_be_meant_is_refused(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Broker.parse(url)
