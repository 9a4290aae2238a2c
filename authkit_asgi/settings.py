"""Settings: read from `AUTHKIT_*`, checked once, every problem told at once.

Each feature keeps its own options on its own class; here stands only what the kernel needs.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AliasChoices,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MINUTE = 60.0
HOUR = 60 * MINUTE
DAY = 24 * HOUR

MIN_SECRET_BYTES = 32  # RFC 7518 section 3.2: an HS256 key is at least as long as its hash
MISSING = {
    "base_url": "is missing: where your users find the app, like http://localhost:8000",
    "token_secret": "is missing; `authkit-asgi secret` prints good ones",
    "refresh_token_secret": "is missing; `authkit-asgi secret` prints good ones",
}
UNIX = "unix"  # among the trusted proxies: whoever connects by a Unix socket
# What an access token may say of a user, by the names of the user's JSON.
PROFILE_CLAIMS = ("username", "email", "firstname", "lastname", "bio", "isVerified", "isAdmin")
SAMPLE_WORDS = ("changeme", "change-me", "secret", "example", "password", "your-", "replace")


class SettingsError(ValueError):
    """Some settings are wrong. `problems` lists them all, each with the setting's name."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(f"These settings need your attention:\n{lines}")


def split_list(value: object) -> object:
    """`"a, b"` as a tuple of its parts; anything that is not a string is left alone."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_list)]
Secrets = Annotated[CommaList, Field(repr=False)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def is_loopback(host: str | None) -> bool:
    if not host:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin_of(url: str) -> str:
    """Scheme, host and port of `url` as browsers write an Origin (RFC 6454 section 6.2)."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ValueError("must look like https://app.example.com")
    if not re.fullmatch(r"[a-z0-9._:-]+", parts.hostname):
        raise ValueError("must spell its host as browsers send it: in ASCII (xn--...)")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    standard = {"http": 80, "https": 443}[parts.scheme]
    port = "" if parts.port in (None, standard) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


class Settings(BaseSettings):
    """What the kernel needs to know. Each field is the environment variable `AUTHKIT_` + its name.

    Raises `SettingsError` with every problem found; secrets are in no message and in no repr.
    """

    model_config = SettingsConfigDict(
        env_prefix="AUTHKIT_",
        env_ignore_empty=False,
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        populate_by_name=True,
        validate_default=True,
    )

    # Declared before what is judged by it: a validator sees only the fields above its own.
    base_url: str
    dev_mode: bool = False
    app_name: Annotated[str, Field(min_length=1, max_length=60)] = "AuthKit"
    # Paths of PEM files, read where the kit is built.
    access_keys: CommaList = ()
    token_secret: Secrets = ()
    refresh_token_secret: Secrets

    database_url: Annotated[str, Field(repr=False)] = "sqlite:///authkit.db"
    redis_url: Annotated[str, Field(repr=False)] = ""
    mail_url: Annotated[str, Field(repr=False)] = "console:"
    mail_from: str = ""
    resend_api_key: Annotated[
        str,
        Field(
            repr=False, validation_alias=AliasChoices("AUTHKIT_RESEND_API_KEY", "RESEND_API_KEY")
        ),
    ] = ""

    # What ended a session is remembered, and a deleted account's shell kept, for longer than this.
    access_token_lifetime: Annotated[Seconds, Field(le=DAY)] = HOUR
    refresh_token_lifetime: Seconds = 7 * DAY
    remember_me_lifetime: Seconds = 30 * DAY
    session_max_age: Seconds = 90 * DAY
    # Ten minutes: five are too short for a slow mail server, thirty give a thief of mail a longer
    # turn.
    verify_link_lifetime: Annotated[Seconds, Field(le=DAY)] = 10 * MINUTE
    reset_link_lifetime: Annotated[Seconds, Field(le=HOUR)] = 10 * MINUTE
    # A page load fires several requests at once, and a phone on a train sends one again after
    # seconds. Longer, and whoever copied a refresh token gets a free turn.
    refresh_grace: Annotated[float, Field(ge=0, le=300)] = 30.0
    revocation_poll: Annotated[Seconds, Field(le=60)] = 1.0

    cookie_samesite: Literal["lax", "strict", "none"] = "lax"
    cookie_prefix: Literal["auto", "__Host-", "__Secure-", ""] = "auto"
    cookie_domain: str = ""
    access_cookie: str = "token"
    refresh_cookie: str = "refreshToken"
    old_cookies: CommaList = ()
    bearer: bool = False
    trusted_origins: CommaList = ()
    strict_origin: bool = False
    trusted_proxies: CommaList = ()

    api_path: str = "/api/users"
    pages_path: str = "/user"

    password_min_length: Annotated[int, Field(ge=8, le=64)] = 8
    bcrypt_rounds: Annotated[int, Field(ge=4, le=16)] = 12
    require_verified_email: bool = True
    # The seed's claims, so that an app shows a name without a query. Empty: no personal data in
    # cookies.
    token_claims: CommaList = ("username", "email", "isVerified", "isAdmin")

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingsError(_sentences(error)) from None

    @property
    def https(self) -> bool:
        return self.base_url.startswith("https://")

    @property
    def origin(self) -> str:
        """The one origin that pages and API are served from."""
        return origin_of(self.base_url)

    @property
    def on_loopback(self) -> bool:
        return is_loopback(urlsplit(self.base_url).hostname)

    @property
    def prefix(self) -> str:
        """The prefix of both cookies' names, `auto` decided."""
        if self.cookie_prefix != "auto":
            return self.cookie_prefix
        if not self.https:
            return ""
        return "__Secure-" if self.cookie_domain else "__Host-"

    @field_validator("base_url")
    @classmethod
    def _base_url(cls, value: str) -> str:
        value = value.rstrip("/")
        if origin_of(value) != value.lower():
            raise ValueError("must be an origin without a path, like https://app.example.com")
        if value.startswith("http://") and not is_loopback(urlsplit(value).hostname):
            raise ValueError(
                "must be https; plain http is for localhost and loopback addresses only"
            )
        return value.lower()

    @field_validator("dev_mode")
    @classmethod
    def _dev_mode(cls, value: bool, info: ValidationInfo) -> bool:
        if value and not _base_is_loopback(info):
            raise ValueError("is for a base URL on localhost or a loopback address only")
        return value

    @field_validator("token_secret", "refresh_token_secret")
    @classmethod
    def _secrets(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        hint = "; `authkit-asgi secret` prints good ones"
        if not value and info.field_name == "token_secret" and info.data.get("access_keys"):
            return value
        if not value:
            raise ValueError(MISSING["token_secret"])
        if any(len(secret.encode()) < MIN_SECRET_BYTES for secret in value):
            raise ValueError(f"each secret needs {MIN_SECRET_BYTES} bytes or more{hint}")
        if any(_is_weak(secret) for secret in value):
            raise ValueError(f"is a sample or easy to guess{hint}")
        if len(set(value)) < len(value):
            raise ValueError("names the same secret twice")
        if set(value) & set(info.data.get("token_secret") or ()):
            raise ValueError("must not share a secret with AUTHKIT_TOKEN_SECRET")
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis_url(cls, value: str) -> str:
        if value and not re.match(r"(rediss?|unix)://", value):
            raise ValueError("must look like redis://host:6379, rediss://… or unix:///path")
        return value

    @field_validator("remember_me_lifetime", "session_max_age")
    @classmethod
    def _cookie_age(cls, value: float) -> float:
        if value > 400 * DAY:  # RFC 6265bis section 5.5: browsers cap a cookie's age there
            raise ValueError("must not be over 400 days")
        return value

    @field_validator("refresh_token_lifetime")
    @classmethod
    def _refresh_outlives_access(cls, value: float, info: ValidationInfo) -> float:
        if value <= info.data.get("access_token_lifetime", 0):
            raise ValueError("must be longer than AUTHKIT_ACCESS_TOKEN_LIFETIME")
        return value

    @field_validator("cookie_samesite")
    @classmethod
    def _samesite(cls, value: str, info: ValidationInfo) -> str:
        if value == "none" and not str(info.data.get("base_url", "")).startswith("https://"):
            raise ValueError("none needs an https base URL")
        return value

    @field_validator("cookie_prefix")
    @classmethod
    def _cookie_prefix(cls, value: str, info: ValidationInfo) -> str:
        https = str(info.data.get("base_url", "")).startswith("https://")
        if value.startswith("__") and not https:
            raise ValueError(
                f"{value} needs an https base URL: browsers drop such cookies otherwise"
            )
        if value == "" and https:
            # ASVS 3.3.1, level 1.
            raise ValueError("must be __Host- or __Secure- (or auto) over https")
        return value

    @field_validator("cookie_domain")
    @classmethod
    def _cookie_domain(cls, value: str, info: ValidationInfo) -> str:
        if value and info.data.get("cookie_prefix") == "__Host-":
            raise ValueError("cannot go with the prefix __Host-, which keeps a cookie to one host")
        if value and not re.fullmatch(r"[a-z0-9.-]+", value):
            raise ValueError("must be a host name in lower case")
        host = urlsplit(str(info.data.get("base_url", ""))).hostname
        if value and host and not f".{host}".endswith("." + value.removeprefix(".")):
            raise ValueError("must be the base URL's host or lie above it: browsers drop others")
        return value

    @field_validator("access_cookie", "refresh_cookie")
    @classmethod
    def _cookie_name(cls, value: str, info: ValidationInfo) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", value) or value.startswith("__"):
            raise ValueError("must be a plain cookie name; its prefix is AUTHKIT_COOKIE_PREFIX")
        if value == info.data.get("access_cookie"):
            raise ValueError("must differ from AUTHKIT_ACCESS_COOKIE")
        return value

    @field_validator("old_cookies")
    @classmethod
    def _old_cookies(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not value:
            return value
        names = value[:2]
        if not 2 <= len(value) <= 3 or len(set(names)) < 2:
            raise ValueError(
                "names the access cookie, the refresh cookie, and their domain, if any"
            )
        if any(not re.fullmatch(r"[A-Za-z0-9_.-]{1,80}", name) for name in value):
            raise ValueError("must be whole cookie names, prefix and all")
        if value[2:] and any(name.startswith("__Host-") for name in names):
            raise ValueError("a cookie with the prefix __Host- had no domain")
        # Not `prefix` of the settings: they are not whole yet.
        own = (str(info.data.get("access_cookie")), str(info.data.get("refresh_cookie")))
        prefix = info.data.get("cookie_prefix", "")
        if prefix == "auto":
            https = str(info.data.get("base_url", "")).startswith("https://")
            secure = "__Secure-" if info.data.get("cookie_domain") else "__Host-"
            prefix = secure if https else ""
        if {prefix + name for name in own} & set(names):
            raise ValueError("must not name the cookies that are in use")
        return value

    @field_validator("trusted_origins")
    @classmethod
    def _trusted_origins(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        for origin in value:
            if origin_of(origin) != origin:
                raise ValueError(f"{origin!r} is not an origin, like https://app.example.com")
        if info.data.get("cookie_samesite") == "none" and not value:
            raise ValueError("must list the other sites when AUTHKIT_COOKIE_SAMESITE is none")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _trusted_proxies(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name == UNIX:
                continue
            try:
                network = ipaddress.ip_network(name)
            except ValueError:
                raise ValueError(
                    f"{name!r} is neither an address nor a network, nor {UNIX!r}"
                ) from None
            if network.prefixlen == 0:
                raise ValueError(f"{name!r} is everybody: each visitor would choose an address")
        return value

    @field_validator("api_path", "pages_path")
    @classmethod
    def _mount_path(cls, value: str) -> str:
        if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", value) or "/." in value:
            raise ValueError("must be a plain path like /api/users, without a slash at its end")
        return value

    @field_validator("pages_path")
    @classmethod
    def _apart(cls, value: str, info: ValidationInfo) -> str:
        # A path that is wrong in itself is a problem of its own: it is not told a second time here.
        api_path = info.data.get("api_path")
        if api_path is None:
            return value
        if f"{value}/".startswith(f"{api_path}/") or f"{api_path}/".startswith(f"{value}/"):
            raise ValueError("and AUTHKIT_API_PATH must not lie one below the other")
        return value

    @field_validator("token_claims")
    @classmethod
    def _token_claims(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [name for name in value if name not in PROFILE_CLAIMS]:
            raise ValueError(f"knows no {unknown[0]!r}; choose from {', '.join(PROFILE_CLAIMS)}")
        return value

    @field_validator("bcrypt_rounds")
    @classmethod
    def _bcrypt_rounds(cls, value: int, info: ValidationInfo) -> int:
        if value < 10 and not _base_is_loopback(info):
            raise ValueError("must be 10 or more; less is for tests on a loopback base URL")
        return value

    @field_validator("mail_from")
    @classmethod
    def _mail_from(cls, value: str, info: ValidationInfo) -> str:
        if not value and str(info.data.get("mail_url", "")).startswith(("smtp", "resend")):
            raise ValueError("is needed to send mail: Acme <no-reply@example.com>")
        if any(character in value for character in "\r\n"):
            raise ValueError("must be one line")
        return value or "no-reply@localhost"


def _base_is_loopback(info: ValidationInfo) -> bool:
    # An unreadable base URL is a problem of its own: it is not told a second time here.
    base_url = info.data.get("base_url")
    return base_url is None or is_loopback(urlsplit(base_url).hostname)


def _is_weak(secret: str) -> bool:
    lowered = secret.lower()
    return len(set(secret)) < 10 or any(word in lowered for word in SAMPLE_WORDS)


def _sentences(error: ValidationError) -> list[str]:
    told = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        name = str(problem["loc"][0]) if problem["loc"] else "settings"
        variable = name if name.isupper() else f"AUTHKIT_{name.upper()}"
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "missing":
            message = MISSING.get(name, "is missing")
        told.append(f"{variable}: {message}")
    return told
