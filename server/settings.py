"""One frozen Settings, read from parvis.toml and PARVIS_* variables; nothing is read at import.

A key nobody knows, a value that does not fit and a file that cannot be read stop the start with one sentence
that names the file, the key and what was expected.
"""

import ipaddress
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from server import mail_server
from server.mail_address import is_address
from server.mail_server import MailServer

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PREFIX = "PARVIS_"
NOT_SETTINGS = frozenset({"PARVIS_CONFIG", "PARVIS_TEST_STRICT"})  # of the command and of the tests
FEDERATION_MODES = ("off", "linked", "open")
LANGUAGES = ("fr", "en")
REPLY_LOCAL_CHARACTERS = 32
"""So that with our own part the whole has the 64 that may stand before @."""


class SettingsError(Exception):
    """A setting that cannot be used. The message is one sentence: where, which key, what was expected."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that an administrator may set, with its unit, its default and why."""

    base_url: str
    """Public origin, such as https://rse.aubrac.example; every id starts with it. Never from a request."""
    name: str = "Parvis"
    """What this instance is called in its pages and towards partners."""
    database_url: str = field(default="sqlite://var/parvis.db", repr=False)
    """sqlite://FILE for one machine, postgres://USER@HOST/NAME where one is not enough."""
    data_dir: Path = Path("var")
    """Files, the secret that seals private keys (0600), the embedded database."""
    host: str = "127.0.0.1"
    """Address to listen on; a proxy with TLS stands before it."""
    port: int = 8000
    """Port to listen on, 1 to 65535."""
    workers: int = 1
    """Web processes; more than one needs PostgreSQL."""
    trusted_proxies: tuple[Network, ...] = ()
    """Whose X-Forwarded-For and X-Forwarded-Proto count; from anybody else they are ignored."""
    federation: str = "linked"
    """off: no word leaves or enters; linked: only active links; open: any instance that is not blocked."""
    allow_private_networks: tuple[Network, ...] = ()
    """Private networks (CIDR) that outgoing requests may reach, over http too: tests and intranets."""
    ca_file: Path | None = None
    """More certificate authorities for outgoing TLS (PEM)."""
    default_language: str = "fr"
    """fr or en, where neither the person nor the browser says."""
    smtp_url: str | None = field(default=None, repr=False)
    """Mail server, smtp://[user:password@]host[:port], or smtps://; none: nobody is written to."""
    mail_from: str | None = None
    """From which address mail comes; none: noreply@ the host of base_url."""
    mail_replies: str | None = None
    """Where answers arrive, such as reply@rse.aubrac.example; a + and a secret follow its name. None: no answers."""
    oidc: str | None = None
    """Single sign-on. Kept for the version that has it; until then a warning at start says so."""
    scim_token: str | None = field(default=None, repr=False)
    """Provisioning. Kept for the version that has it; until then a warning at start says so."""
    storage_url: str | None = None
    """S3-compatible files. Kept for the version that has it; until then a warning at start says so."""
    source: str = "parvis.toml"
    """The file these were read from, for messages."""

    @property
    def sealed_secret_file(self) -> Path:
        """The secret that seals private keys at rest."""
        return self.data_dir / "secret.key"

    @property
    def files_dir(self) -> Path:
        return self.data_dir / "files"

    @property
    def is_https(self) -> bool:
        return self.base_url.startswith("https://")

    @property
    def mail_server(self) -> MailServer | None:
        """The mail server, when there is one."""
        return mail_server.read(self.smtp_url) if self.smtp_url else None

    @property
    def mail_sender(self) -> str:
        """The address that mail comes from."""
        return self.mail_from or f"noreply@{urlsplit(self.base_url).hostname}"

    def not_built_yet(self) -> list[str]:
        """Keys that are set although this version does nothing with them."""
        return [key for key in ("oidc", "scim_token", "storage_url") if getattr(self, key)]


KEYS = tuple(f.name for f in fields(Settings) if f.name != "source")


def load(config: Path, environ: Mapping[str, str] = os.environ) -> Settings:
    """Reads the file, then the variables over it.

    Relative paths (data_dir, ca_file, an SQLite file) are taken from the file's own folder.
    Raises SettingsError with one sentence.
    """
    values: dict[str, tuple[Any, str]] = {key: (v, str(config)) for key, v in _read(config).items()}
    for name, text in environ.items():
        if name.startswith(PREFIX) and name not in NOT_SETTINGS:
            key = name.removeprefix(PREFIX).lower().replace("__", ".")
            values[key] = (text, f"environment variable {name}")
    for key, (_, where) in values.items():
        if key not in KEYS:
            raise SettingsError(f"{where}: “{key}” is not a setting; the settings are {', '.join(KEYS)}.")
    if "base_url" not in values:
        raise SettingsError(f"{config}: “base_url” is missing; expected an origin such as https://rse.example.")
    read = {key: _READERS[key](value, key, where) for key, (value, where) in values.items()}
    return _settle(Settings(**read, source=str(config)), config.resolve().parent)


def _read(config: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(config.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        raise SettingsError(f"{config}: no such file; “parvis init --base-url …” makes one.") from None
    except OSError as error:
        raise SettingsError(f"{config}: cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{config}: not UTF-8 text (byte {error.start}).") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{config}: not TOML: {error}.") from None


def _settle(settings: Settings, folder: Path) -> Settings:
    """Makes paths absolute, and refuses what does not go together."""
    changes: dict[str, Any] = {"data_dir": folder / settings.data_dir}
    if settings.ca_file is not None:
        changes["ca_file"] = folder / settings.ca_file
    scheme, _, rest = settings.database_url.partition("://")
    if scheme == "sqlite":
        changes["database_url"] = f"sqlite://{folder / rest}"
    if settings.workers > 1 and scheme == "sqlite":
        raise SettingsError(
            f"{settings.source}: “workers” is {settings.workers}, but an SQLite file serves one process; "
            "expected 1, or a postgres:// “database_url”."
        )
    return Settings(**{f.name: changes.get(f.name, getattr(settings, f.name)) for f in fields(Settings)})


def _refuse(key: str, where: str, value: Any, expected: str) -> SettingsError:
    return SettingsError(f"{where}: “{key}” is {value!r}; expected {expected}.")


def _origin(value: Any, key: str, where: str) -> str:
    try:
        parts = urlsplit(value if isinstance(value, str) else "")
        whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # not a port, or half an IPv6 address
        whole = False
    if not whole or parts.username is not None or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise _refuse(key, where, value, "an origin such as https://rse.example, without a path")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _text(value: Any, key: str, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _refuse(key, where, value, "a text")
    return value.strip()


def _database(value: Any, key: str, where: str) -> str:
    if not isinstance(value, str) or not value.startswith(("sqlite://", "postgres://", "postgresql://")):
        raise _refuse(key, where, value, "sqlite://FILE or postgres://…")
    return value.replace("postgresql://", "postgres://", 1)


def _mail_server(value: Any, key: str, where: str) -> str:
    try:
        mail_server.read(value if isinstance(value, str) else "")
    except ValueError as error:
        shown = mail_server.without_password(value) if isinstance(value, str) else value
        raise _refuse(key, where, shown, str(error)) from None
    return str(value)


def _address(value: Any, key: str, where: str) -> str:
    text = value.strip().lower() if isinstance(value, str) else ""
    if not is_address(text):
        raise _refuse(key, where, value, "a mail address such as rse@aubrac.example")
    return text


def _reply_address(value: Any, key: str, where: str) -> str:
    address = _address(value, key, where)
    local = address.partition("@")[0]
    if "+" in local or len(local) > REPLY_LOCAL_CHARACTERS:
        expected = f"an address of at most {REPLY_LOCAL_CHARACTERS} characters and no + before the @"
        raise _refuse(key, where, value, expected)
    return address


def _path(value: Any, key: str, where: str) -> Path:
    return Path(_text(value, key, where)).expanduser()


def _whole(low: int, high: int) -> Any:
    def read(value: Any, key: str, where: str) -> int:
        if isinstance(value, str) and value.strip().isdecimal():
            value = int(value)
        if type(value) is not int or not low <= value <= high:
            raise _refuse(key, where, value, f"a whole number from {low} to {high}")
        return value

    return read


def _networks(value: Any, key: str, where: str) -> tuple[Network, ...]:
    parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(parts, list):
        raise _refuse(key, where, value, 'a list of networks such as ["127.0.0.0/8"]')
    try:
        return tuple(ipaddress.ip_network(part) for part in parts if part)
    except ValueError as error:
        raise _refuse(key, where, value, f'a list of networks such as ["127.0.0.0/8"] ({error})') from None


def _one_of(words: tuple[str, ...]) -> Any:
    def read(value: Any, key: str, where: str) -> str:
        if value not in words:
            raise _refuse(key, where, value, " or ".join(words))
        return str(value)

    return read


_READERS: dict[str, Any] = {
    "base_url": _origin,
    "name": _text,
    "database_url": _database,
    "data_dir": _path,
    "host": _text,
    "port": _whole(1, 65535),
    "workers": _whole(1, 64),
    "trusted_proxies": _networks,
    "federation": _one_of(FEDERATION_MODES),
    "allow_private_networks": _networks,
    "ca_file": _path,
    "default_language": _one_of(LANGUAGES),
    "smtp_url": _mail_server,
    "mail_from": _address,
    "mail_replies": _reply_address,
    "oidc": _text,
    "scim_token": _text,
    "storage_url": _text,
}
