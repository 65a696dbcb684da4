"""boto3's client, set for our use: for parts, looking and listing; the hot path is put.py."""

from typing import Any

from botocore.config import Config

from workers.bucket import is_amazon


def s3_client(
    session: Any,
    *,
    endpoint_url: str | None,
    region: str | None,
    max_connections: int,
    connect_timeout_s: float,
    timeout_s: float,
) -> Any:
    """Path style at an endpoint of one's own. Takes about 0.1 s: made once a process."""
    region = region or session.region_name or "us-east-1"
    reached = endpoint_url or session.client("s3", region_name=region).meta.endpoint_url
    config = Config(
        signature_version="s3v4",
        # The checksum proves the body, over http as well; hashing it again for the signature proves nothing more.
        s3={"addressing_style": "auto" if is_amazon(reached) else "path", "payload_signing_enabled": False},
        # Stores that do not know the newer checksums keep them inside the object. Ours is given explicitly.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        # The row's clock is the retry authority; one more try is for a kept connection that was closed meanwhile.
        retries={"mode": "standard", "total_max_attempts": 2},
        connect_timeout=connect_timeout_s,
        read_timeout=timeout_s,
        max_pool_connections=max_connections,
    )
    return session.client("s3", region_name=region, endpoint_url=endpoint_url, config=config)


def sts_client(session: Any, *, region: str | None, timeout_s: float) -> Any:
    """For taking a role with the process's own credentials; where, by boto3's chain (AWS_ENDPOINT_URL_STS)."""
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 2},
        connect_timeout=min(5.0, timeout_s),
        read_timeout=timeout_s,
    )
    return session.client("sts", region_name=region or session.region_name or "us-east-1", config=config)
