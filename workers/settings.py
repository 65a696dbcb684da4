"""Settings, by process: from the environment, in the names that each tool already knows (DESIGN section 10).

A process reads the settings of its own class and no others, when it starts and not before. Whatever is missing or bad
is said at once, in one message, each by the name of its variable.
"""

from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from workers.broker import Broker
from workers.credentials import SealKey, parse_seal_keys
from workers.flower import login
from workers.grants import GrantKey

_MIB = 1024 * 1024


class SettingsError(Exception):
    """Settings are missing or bad: one line each, by the name of the variable, never with its value."""


def _scheme(*schemes: str) -> AfterValidator:
    def check(value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(tuple(f"{scheme}://" for scheme in schemes)):
            message = f"must start with {' or '.join(f'{scheme}://' for scheme in schemes)}"
            raise ValueError(message)
        return value

    return AfterValidator(check)


def _checked(check: Callable[[str], object]) -> AfterValidator:
    """``check`` raises ValueError that says what is wrong."""

    def checked(value: SecretStr) -> SecretStr:
        check(value.get_secret_value())
        return value

    return AfterValidator(checked)


def _shared_secret(text: str) -> None:
    from workers.signing_keys import SharedSecret  # noqa: PLC0415 - PyJWT, and so cryptography: 10 MB

    SharedSecret.parse(text)


def _networks(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())
    except ValueError:
        message = "must be networks such as 127.0.0.0/8,10.0.0.0/8"
        raise ValueError(message) from None


DatabaseUrl = Annotated[SecretStr, _scheme("postgresql", "postgres", "postgresql+psycopg")]
SealKeyText = Annotated[SecretStr, _checked(parse_seal_keys)]
Network = IPv4Network | IPv6Network
Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)]


def _variable(name: str, **more: Any) -> Any:
    return Field(validation_alias=name, **more)


class Settings(BaseSettings):
    """What every process shares: how settings are read."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True, hide_input_in_errors=True, frozen=True, extra="ignore", allow_inf_nan=False
    )

    @classmethod
    def load(cls, **given: str) -> Self:
        """Read this process's settings, but for those that are ``given`` by the names of their variables; or raise
        ``SettingsError`` that names everything that is wrong."""
        try:
            return cls(**given)
        except ValidationError as error:
            raise SettingsError(cls._explain(error)) from None

    @classmethod
    def _explain(cls, error: ValidationError) -> str:
        lines = ["These settings are missing or bad:"]
        for problem in error.errors(include_input=False, include_url=False):
            # A value that was given goes by its variable, a default that is not enough by its field.
            name = str(problem["loc"][0])
            name = str(cls.model_fields[name].validation_alias) if name in cls.model_fields else name
            said = "is not set" if problem["type"] == "missing" else problem["msg"].removeprefix("Value error, ")
            lines.append(f"  {name}: {said}")
        lines.append("See docs/operations.md, or for a running embedded stack: recordings env")
        return "\n".join(lines)


class BrokerSettings(Settings):
    """Where the doorbells hang."""

    # Before the URL, which is judged by it.
    plain_redis_hosts: Annotated[tuple[str, ...], NoDecode] = _variable("RECORDINGS_PLAIN_REDIS_HOSTS", default=())
    redis_url: SecretStr = _variable("REDIS_URL")

    @field_validator("plain_redis_hosts", mode="before")
    @classmethod
    def _hosts(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("redis_url")
    @classmethod
    def _not_overheard(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        Broker.parse(value.get_secret_value()).refuse_strangers(info.data.get("plain_redis_hosts", ()))
        return value


class DatabaseSettings(Settings):
    """The login of the process at hand."""

    database_url: DatabaseUrl = _variable("DATABASE_URL")

    @property
    def dsn(self) -> str:
        """For libpq and psycopg, which know no driver suffix."""
        return self.database_url.get_secret_value().replace("postgresql+psycopg://", "postgresql://", 1)

    @property
    def sqlalchemy_url(self) -> str:
        """For SQLAlchemy, with the driver said: ``postgres://`` and older defaults would pick another one."""
        return "postgresql+psycopg://" + self.dsn.partition("://")[2]


class DispatcherSettings(DatabaseSettings, BrokerSettings):
    """The dispatcher: the only process that can mint a grant."""

    grant_key: SecretStr = _variable("RECORDINGS_GRANT_KEY")
    #: Rows in flight at once, over all organisations. It keeps the broker's list short, so that order is decided here.
    dispatch_window: int = _variable("RECORDINGS_DISPATCH_WINDOW", default=128, ge=1, le=10_000)
    #: Rows in flight at once for one organisation.
    max_in_flight: int = _variable("RECORDINGS_MAX_IN_FLIGHT", default=32, ge=1, le=10_000)
    #: A doorbell that nobody has answered by then is rung again.
    doorbell_expires_s: float = _variable("RECORDINGS_DOORBELL_EXPIRES_S", default=30.0, gt=0)
    #: How long a grant works: longer than the longest transfer, or its worker could not settle.
    grant_lifetime_s: float = _variable("RECORDINGS_GRANT_LIFETIME_S", default=3600.0, gt=0)
    #: Looks for due rows at least this often, notified or not.
    tick_s: float = _variable("RECORDINGS_TICK_S", default=1.0, gt=0, le=60)
    #: An organisation's storage is compared with its rows this often.
    sweep_every_s: float = _variable("RECORDINGS_SWEEP_EVERY_S", default=86_400.0, gt=0)

    @field_validator("grant_key")
    @classmethod
    def _readable(cls, value: SecretStr) -> SecretStr:
        GrantKey.parse(value.get_secret_value())
        return value


class WorkerSettings(DatabaseSettings, BrokerSettings):
    """A worker: one organisation at a time, by grant. S3's keys and region are boto3's own variables (AWS_*)."""

    bucket: str = _variable("RECORDINGS_BUCKET", min_length=3)
    s3_endpoint_url: str | None = _variable("AWS_ENDPOINT_URL_S3", default=None, pattern=r"^https?://")
    region: str | None = _variable("AWS_DEFAULT_REGION", default=None)
    s3_role_arn: str | None = _variable(
        "RECORDINGS_S3_ROLE_ARN", default=None, pattern=r"^arn:aws[a-z-]*:iam::(\d{12}:)?role/[\w+=,.@/-]+$"
    )
    sse: str | None = _variable("RECORDINGS_SSE", default=None, pattern=r"^(AES256|aws:kms(:.+)?)$")
    seal_key: SealKeyText | None = _variable("RECORDINGS_SEAL_KEY", default=None)
    private_source_networks: Networks = _variable("RECORDINGS_PRIVATE_SOURCE_NETWORKS", default=())
    max_bytes: int = _variable("RECORDINGS_MAX_BYTES", default=500 * _MIB, gt=0)
    transfer_deadline_s: float = _variable("RECORDINGS_TRANSFER_DEADLINE_S", default=1800.0, gt=0)
    connect_timeout_s: float = _variable("RECORDINGS_CONNECT_TIMEOUT_S", default=5.0, gt=0)
    read_timeout_s: float = _variable("RECORDINGS_READ_TIMEOUT_S", default=30.0, gt=0)
    lease_s: float = _variable("RECORDINGS_LEASE_S", default=60.0, gt=0)
    drain_s: float = _variable("RECORDINGS_DRAIN_S", default=20.0, ge=0)
    #: With doorbells waiting and a slot free, a worker that takes none for so long replaces its process.
    deaf_after_s: float = _variable("RECORDINGS_DEAF_AFTER_S", default=20.0, ge=2)
    retry_base_s: float = _variable("RECORDINGS_RETRY_BASE_S", default=2.0, gt=0)
    retry_cap_s: float = _variable("RECORDINGS_RETRY_CAP_S", default=600.0, gt=0)
    max_age_s: float = _variable("RECORDINGS_MAX_AGE_S", default=86_400.0, gt=0)
    not_ready_for_s: float = _variable("RECORDINGS_NOT_READY_FOR_S", default=900.0, gt=0)
    sweep_grace_s: float = _variable("RECORDINGS_SWEEP_GRACE_S", default=86_400.0, ge=0)
    #: How long a link to a recording works.
    download_lifetime_s: int = _variable("RECORDINGS_DOWNLOAD_LIFETIME_S", default=300, ge=1, le=3600)
    #: The same of a link to an export's ZIP, which is deleted then.
    export_lifetime_s: int = _variable("RECORDINGS_EXPORT_LIFETIME_S", default=3600, ge=1, le=3600)
    #: The largest recording that is encoded in another format, and the largest that may come of it.
    rendition_max_bytes: int = _variable("RECORDINGS_RENDITION_MAX_BYTES", default=500 * _MIB, gt=0)
    #: Where users reach the object store, if not where workers do.
    download_endpoint_url: str | None = _variable(
        "RECORDINGS_DOWNLOAD_ENDPOINT_URL", default=None, pattern=r"^https?://"
    )

    @property
    def seal_keys(self) -> tuple[SealKey, ...]:
        return parse_seal_keys(self.seal_key.get_secret_value()) if self.seal_key else ()


class IntegrationsSettings(Settings):
    """Whoever stores providers' credentials: the operators' login, and besides it the keys that seal them."""

    seal_key: SealKeyText = _variable("RECORDINGS_SEAL_KEY")
    private_source_networks: Networks = _variable("RECORDINGS_PRIVATE_SOURCE_NETWORKS", default=())

    @property
    def seal_keys(self) -> tuple[SealKey, ...]:
        return parse_seal_keys(self.seal_key.get_secret_value())


class MigrateSettings(DatabaseSettings):
    """The one-shot that brings a database up to date, as administrator. What is set here, it installs."""

    grant_key: SecretStr | None = _variable("RECORDINGS_GRANT_KEY", default=None)
    dispatcher_password: SecretStr | None = _variable("RECORDINGS_DISPATCHER_PASSWORD", default=None)
    worker_password: SecretStr | None = _variable("RECORDINGS_WORKER_PASSWORD", default=None)
    call_handler_password: SecretStr | None = _variable("RECORDINGS_CALL_HANDLER_PASSWORD", default=None)
    ops_password: SecretStr | None = _variable("RECORDINGS_OPS_PASSWORD", default=None)
    authenticator_password: SecretStr | None = _variable("RECORDINGS_AUTHENTICATOR_PASSWORD", default=None)

    @field_validator("grant_key")
    @classmethod
    def _readable(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            GrantKey.parse(value.get_secret_value())
        return value


class FlowerSettings(BrokerSettings):
    """Flower: sees ids only, changes nothing, lets nobody in without a login: basic auth, OAuth, or either."""

    # First what the others are judged by; each is looked at also where it is not set.
    auth_provider: str | None = _variable("FLOWER_AUTH_PROVIDER", default=None)
    auth: str | None = _variable("FLOWER_AUTH", default=None, validate_default=True)
    oauth2_key: SecretStr | None = _variable("FLOWER_OAUTH2_KEY", default=None, validate_default=True)
    oauth2_secret: SecretStr | None = _variable("FLOWER_OAUTH2_SECRET", default=None, validate_default=True)
    oauth2_redirect_uri: str | None = _variable("FLOWER_OAUTH2_REDIRECT_URI", default=None, validate_default=True)
    okta_base_url: str | None = _variable("FLOWER_OAUTH2_OKTA_BASE_URL", default=None, validate_default=True)
    basic_auth: SecretStr | None = _variable("FLOWER_BASIC_AUTH", default=None, validate_default=True)
    cookie_secret: Annotated[SecretStr, _checked(login.check_cookie_secret)] | None = _variable(
        "FLOWER_COOKIE_SECRET", default=None
    )
    address: str = _variable("FLOWER_ADDRESS", default="127.0.0.1")
    port: int = _variable("FLOWER_PORT", default=5555, ge=1, le=65_535)

    @field_validator("auth_provider")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None:
            login.check_provider(value)
        return value

    @field_validator("auth", "oauth2_key", "oauth2_secret", "oauth2_redirect_uri", "okta_base_url")
    @classmethod
    def _whole(cls, value: Any, info: ValidationInfo) -> Any:
        """OAuth is all of it, or none: without FLOWER_AUTH Flower would be open."""
        provider = info.data.get("auth_provider")
        is_wanted = provider == login.OKTA if info.field_name == "okta_base_url" else provider is not None
        if is_wanted and value is None:
            raise PydanticCustomError("missing", "is not set")
        if value is not None and provider is None:
            raise ValueError("needs FLOWER_AUTH_PROVIDER beside it")
        if value is not None and info.field_name in login.CHECKS:
            login.CHECKS[info.field_name](value)
        return value

    @field_validator("basic_auth")
    @classmethod
    def _somebody(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None and info.data.get("auth_provider", "") is None:
            raise PydanticCustomError("missing", "is not set")
        if value is not None:
            login.check_basic_auth(value.get_secret_value())
        return value


class TokenSettings(Settings):
    """Whoever serves users: by whom their tokens must be signed, and for whom."""

    jwt_secret: Annotated[SecretStr, _checked(_shared_secret)] | None = _variable("RECORDINGS_JWT_SECRET", default=None)
    # After the secret, beside which it is judged.
    jwks_url: str | None = _variable("RECORDINGS_JWKS_URL", default=None, validate_default=True)
    jwt_audience: str = _variable("RECORDINGS_JWT_AUDIENCE", default="authenticated")
    jwt_issuer: str | None = _variable("RECORDINGS_JWT_ISSUER", default=None)

    @field_validator("jwks_url")
    @classmethod
    def _one_of_both(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Both at once would let a token choose how it is verified."""
        if "jwt_secret" in info.data and (value is None) is (info.data["jwt_secret"] is None):
            raise ValueError("set this or RECORDINGS_JWT_SECRET, exactly one of the two")
        if value is not None:
            from workers.jwks import Address  # noqa: PLC0415 - as above

            Address.parse(value)
        return value
