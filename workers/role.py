"""Credentials for one organisation's part of the bucket, and no other: a role, narrowed by a session policy.

What a worker process holds then opens no object by itself. Where a role cannot be taken there are no credentials, and
no others are used in their place.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from botocore.credentials import RefreshableCredentials

from workers.refusals import translated
from workers.territory import EXPORTS, QUARANTINE, Territory

LASTS_S = 3600
"""As long as a role that another role takes may be had."""
SOON_S, _NOW_S = 600, 60
"""With less than this left they are renewed."""
_OBJECTS = (
    "s3:GetObject",
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:DeleteObjectVersion",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
)
_LISTS = ("s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads")
_NEVER = datetime.fromtimestamp(0, UTC)


def session_policy(bucket: str, org_id: UUID, *, sse: str | None = None, partition: str = "aws") -> str:
    """What is left of the role: the organisation's objects, their quarantine and its exports, and listing them."""
    where, prefix = f"arn:{partition}:s3:::{bucket}", Territory(org_id).prefix
    prefixes = [f"{prefix}*", f"{QUARANTINE}{prefix}*", f"{EXPORTS}{prefix}*"]
    statements: list[Mapping[str, Any]] = [
        {"Effect": "Allow", "Action": _OBJECTS, "Resource": [f"{where}/{one}" for one in prefixes]},
        {
            "Effect": "Allow",
            "Action": _LISTS,
            "Resource": where,
            "Condition": {"StringLike": {"s3:prefix": prefixes}},
        },
    ]
    if sse is not None and sse.startswith("aws:kms"):
        key = sse.removeprefix("aws:kms").removeprefix(":")
        # A key's id or alias is no resource's name; the role's own policy says which keys.
        resource = key if key.startswith("arn:") else "*"
        actions = ("kms:GenerateDataKey", "kms:Decrypt")
        statements.append({"Effect": "Allow", "Action": actions, "Resource": resource})
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Role:
    """``sts`` is boto3's client, with the process's own credentials. Threads may share it."""

    sts: Any = field(repr=False)
    arn: str
    bucket: str
    sse: str | None

    def credentials(self, org_id: UUID) -> RefreshableCredentials:
        """The organisation's, taken when they are first asked for and again before they expire. Asking may raise
        StoreDenied or StoreUnavailable."""
        return RefreshableCredentials(
            access_key="",
            secret_key="",
            token="",
            expiry_time=_NEVER,
            refresh_using=lambda: self._take(org_id),
            method="assume-role",
            advisory_timeout=SOON_S,
            mandatory_timeout=_NOW_S,
        )

    def _take(self, org_id: UUID) -> dict[str, str]:
        partition = self.arn.split(":")[1]
        with translated():
            taken = self.sts.assume_role(
                RoleArn=self.arn,
                RoleSessionName=f"org-{org_id}",
                Policy=session_policy(self.bucket, org_id, sse=self.sse, partition=partition),
                DurationSeconds=LASTS_S,
            )["Credentials"]
        return {
            "access_key": taken["AccessKeyId"],
            "secret_key": taken["SecretAccessKey"],
            "token": taken["SessionToken"],
            "expiry_time": taken["Expiration"].isoformat(),
        }
