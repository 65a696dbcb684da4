"""What boto3 knows of AWS, without what no program reads: one S3 client holds 14 MiB as it comes, and 6 like this."""

import gzip
import json
from pathlib import Path
from typing import Any

from botocore.loaders import JSONFileLoader, Loader

#: Whom a client or boto3's chain of credentials may ask, as the list of addresses names them. It has 300 more.
_ASKED = frozenset({"s3", "sts", "oidc", "portal.sso"})


def catalogue() -> Loader:
    """A session's component "data_loader". Share it between the sessions of a process: it keeps what it has read."""
    return Loader(file_loader=_Lean())


class _Lean(JSONFileLoader):  # type: ignore[misc] # botocore has no types
    """botocore's own reads into dictionaries that note their order twice, documentation and all."""

    def load_file(self, file_path: str) -> Any:
        """As botocore asks for it, without its ending; None if there is no such file."""
        plain, packed = Path(f"{file_path}.json"), Path(f"{file_path}.json.gz")
        if plain.is_file():
            content = plain.read_bytes()
        elif packed.is_file():
            content = gzip.decompress(packed.read_bytes())
        else:
            return None
        return json.loads(content, object_hook=_known if plain.name == "endpoints.json" else _wordless)


def _wordless(found: dict[str, Any]) -> dict[str, Any]:
    if isinstance(found.get("documentation"), str):  # else something that is called so
        found["documentation"] = ""
    return found


def _known(found: dict[str, Any]) -> dict[str, Any]:
    if "services" in found:
        found["services"] = {name: about for name, about in found["services"].items() if name in _ASKED}
    return found
