"""The bucket's settings: private, versioned, and rid of uploads that nobody goes on with."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from workers.doctor.result import Result, ok, unseen, warning, wrong

_EVERYBODY = ("/AllUsers", "/AuthenticatedUsers")
_CLOSE = "block public access of the bucket, and take the policy or ACL away that opens it"
_LIFECYCLE = "a lifecycle rule with AbortIncompleteMultipartUpload after 1 day"


@dataclass(frozen=True, slots=True)
class Unseen:
    """Why something could not be asked."""

    why: str


def ask(operation: Callable[..., Mapping[str, Any]], bucket: str) -> Mapping[str, Any] | Unseen:
    """What the store says; nothing where there is none of it."""
    try:
        return operation(Bucket=bucket)
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code.startswith("NoSuch"):
            return {}
        if status in (405, 501) or code in ("NotImplemented", "MethodNotAllowed"):
            return Unseen("this store has no such thing")
        if status == 403:
            return Unseen("this login may not ask: look with the bucket's administrator")
        raise


def check(client: Any, bucket: str) -> Iterator[Result]:
    """Raises botocore's errors where the store does not answer."""
    yield judge_policy(ask(client.get_bucket_policy_status, bucket))
    yield judge_acl(ask(client.get_bucket_acl, bucket))
    yield judge_block(ask(client.get_public_access_block, bucket))
    yield judge_versioning(ask(client.get_bucket_versioning, bucket))
    yield judge_lifecycle(ask(client.get_bucket_lifecycle_configuration, bucket))


def judge_policy(found: Mapping[str, Any] | Unseen) -> Result:
    if isinstance(found, Unseen):
        return unseen("bucket.policy", f"not checked: {found.why}")
    if found.get("PolicyStatus", {}).get("IsPublic"):
        return wrong("bucket.policy", "the bucket's policy opens it to everybody", _CLOSE)
    return ok("bucket.policy", "no policy opens the bucket to everybody")


def judge_acl(found: Mapping[str, Any] | Unseen) -> Result:
    if isinstance(found, Unseen):
        return unseen("bucket.acl", f"not checked: {found.why}")
    if any(str(grant["Grantee"].get("URI", "")).endswith(_EVERYBODY) for grant in found.get("Grants", ())):
        return wrong("bucket.acl", "the bucket's ACL opens it to everybody", _CLOSE)
    return ok("bucket.acl", "no ACL opens the bucket to everybody")


def judge_block(found: Mapping[str, Any] | Unseen) -> Result:
    if isinstance(found, Unseen):
        return unseen("bucket.public_access_block", f"not checked: {found.why}")
    block = found.get("PublicAccessBlockConfiguration", {})
    if len(block) == 4 and all(block.values()):
        return ok("bucket.public_access_block", "public access is blocked, whatever a policy says")
    return warning("bucket.public_access_block", "a policy or an ACL could open the bucket", "block all public access")


def judge_versioning(found: Mapping[str, Any] | Unseen) -> Result:
    if isinstance(found, Unseen):
        return unseen("bucket.versioned", f"not checked: {found.why}")
    if found.get("Status") == "Enabled":
        return ok("bucket.versioned", "the bucket keeps versions")
    sentence = "the bucket keeps no versions: what is deleted or overwritten is gone"
    return warning("bucket.versioned", sentence, "switch versioning on, with a rule that expires old versions")


def judge_lifecycle(found: Mapping[str, Any] | Unseen) -> Result:
    if isinstance(found, Unseen):
        return unseen("bucket.lifecycle", f"not checked: {found.why}")
    for rule in found.get("Rules", ()):
        if rule.get("Status") == "Enabled" and "AbortIncompleteMultipartUpload" in rule and _is_for_all(rule):
            days = rule["AbortIncompleteMultipartUpload"].get("DaysAfterInitiation")
            return ok("bucket.lifecycle", f"multipart uploads that nobody goes on with are aborted after {days} days")
    return warning("bucket.lifecycle", "only sweeps abort multipart uploads that nobody goes on with", _LIFECYCLE)


def _is_for_all(rule: Mapping[str, Any]) -> bool:
    return not rule.get("Prefix") and rule.get("Filter", {}) in ({}, {"Prefix": ""})
