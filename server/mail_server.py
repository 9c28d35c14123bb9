"""The mail server that the settings name: `smtp://[user:password@]host[:port]`, or `smtps://`, encrypted at once."""

import ipaddress
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

PLAIN, SUBMISSION, TLS = 25, 587, 465
"""The ports of RFC 5321, RFC 6409 (where somebody signs in) and RFC 8314."""
EXPECTED = "smtp://[user:password@]host[:port], or smtps:// for TLS from the start"


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is handed over. `implicit_tls`: encrypted from the first byte."""

    host: str
    port: int
    implicit_tls: bool
    user: str = ""
    password: str = field(default="", repr=False)

    @property
    def is_this_machine(self) -> bool:
        """Whether what is said to it leaves no machine."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"{shown}:{self.port}"


def read(url: str) -> MailServer:
    """Raises ValueError for what is not such an address; it never repeats the password."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(EXPECTED) from None
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    said = [host, user, password]
    whole = parts.scheme in ("smtp", "smtps") and host and port != 0 and all(part.isprintable() for part in said)
    if not whole or bool(user) != bool(password) or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(EXPECTED)
    implicit = parts.scheme == "smtps"
    return MailServer(host, port or (TLS if implicit else SUBMISSION if user else PLAIN), implicit, user, password)


def without_password(url: str) -> str:
    """The address as a message may show it."""
    before, at, after = url.rpartition("@")
    scheme, colon, _ = before.partition("://")
    return f"{scheme if colon else ''}{colon}***@{after}" if at else url
