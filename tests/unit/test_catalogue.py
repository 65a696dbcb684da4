"""What boto3 knows of AWS is read without what nobody asks: its answers stay the same."""

import json
from typing import Any

import botocore.session
import pytest
from botocore.loaders import Loader

from workers.catalogue import catalogue


def client(loader: Loader, service: str, region: str) -> Any:
    session = botocore.session.Session()
    session.set_credentials("who", "secret")
    session.register_component("data_loader", loader)
    return session.create_client(service, region_name=region)


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "cn-north-1", "us-gov-west-1", "mars-north-1"])
@pytest.mark.parametrize("service", ["s3", "sts", "sso", "sso-oidc"])
def test_a_client_asks_the_same_addresses_with_the_same_signature(service: str, region: str) -> None:
    ours, theirs = client(catalogue(), service, region).meta, client(Loader(), service, region).meta
    assert ours.endpoint_url == theirs.endpoint_url
    assert ours.region_name == theirs.region_name
    assert ours.config.signature_version == theirs.config.signature_version


def test_a_link_is_the_same() -> None:
    def signed(loader: Loader) -> str:
        about = {"Bucket": "bucket", "Key": "key"}
        url: str = client(loader, "s3", "eu-central-1").generate_presigned_url("get_object", Params=about)
        return url.partition("?")[0]

    assert signed(catalogue()) == signed(Loader()) == "https://bucket.s3.amazonaws.com/key"


def test_of_what_is_read_a_fraction_is_kept() -> None:
    def kept(loader: Loader) -> int:
        read = loader.load_data("endpoints"), loader.load_service_model("s3", "service-2")
        return len(json.dumps(read))

    assert kept(catalogue()) < kept(Loader()) / 4


def test_what_is_not_there_is_not_there() -> None:
    with pytest.raises(botocore.exceptions.UnknownServiceError):
        catalogue().load_service_model("nothing", "service-2")
