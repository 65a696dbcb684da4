"""What this app is told by its environment, beside how users' tokens are verified (``workers.settings``)."""

from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from workers.settings import DatabaseUrl, Settings


def _variable(name: str, **more: Any) -> Any:
    return Field(validation_alias=name, **more)


def _origin(value: str) -> str:
    """As browsers compare them: scheme, host and port, and nothing after."""
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError("must be an origin such as https://calls.example")
    return f"{parts.scheme}://{parts.netloc}"


Origin = Annotated[str, AfterValidator(_origin)]


class AppSettings(Settings):
    """Two logins, for two kinds of callers: neither can do what the other may."""

    #: As ``authenticator``: what users ask. Not through a pooler in transaction mode, for it listens too.
    api_database_url: DatabaseUrl = _variable("API_DATABASE_URL")
    #: As ``call_handler``: what providers report.
    webhook_database_url: DatabaseUrl = _variable("WEBHOOK_DATABASE_URL")
    #: Where providers reach this app: Twilio signs the URL as it knows it, whatever a proxy makes of it.
    public_url: Origin = _variable("PUBLIC_URL")
    #: Where links to recordings lead: the page may play from there, and from nowhere else.
    media_origin: Origin = _variable("MEDIA_ORIGIN")
    #: Several, divided by commas, while one replaces the other. Without one the provider's webhooks are off.
    twilio_auth_token: SecretStr | None = _variable("TWILIO_AUTH_TOKEN", default=None)
    vapi_webhook_secret: SecretStr | None = _variable("VAPI_WEBHOOK_SECRET", default=None)
    #: A delivery that was signed longer ago, or so far ahead, is refused.
    webhook_window_s: float = _variable("WEBHOOK_WINDOW_S", default=900.0, gt=0)

    def secrets_of(self, provider: str) -> tuple[str, ...]:
        held = {"twilio": self.twilio_auth_token, "vapi": self.vapi_webhook_secret}[provider]
        return tuple(part.strip() for part in held.get_secret_value().split(",") if part.strip()) if held else ()


def sqlalchemy_url(url: SecretStr) -> str:
    """SQLAlchemy wants to be told the driver."""
    return "postgresql+psycopg://" + url.get_secret_value().partition("://")[2]


def libpq_url(url: SecretStr) -> str:
    return "postgresql://" + url.get_secret_value().partition("://")[2]
