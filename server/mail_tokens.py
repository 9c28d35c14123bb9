"""The secret parts of addresses in mails: each made from the instance's secret for one person and one purpose.

Made, not drawn: a mail that is composed once more holds the same ones. What they open is asked when they come back.
"""

import base64
import hmac

from server.credentials import key_for
from server.settings import Settings

CHARACTERS = 26
"""130 bits, in letters that mail programs may write in either case (RFC 4648, base32)."""


def reply_token(settings: Settings, account_id: int, post_id: int) -> str:
    """Under which one person answers one post."""
    return _made(settings, "answer by mail", f"{account_id}:{post_id}")


def stop_token(settings: Settings, account_id: int, address: str) -> str:
    """What ends the mails to one person at one address, and opens nothing else (T14)."""
    return f"{account_id}-{_made(settings, 'no more mail', f'{account_id}:{address}')}"


def account_of(token: str) -> int | None:
    """The account that a stop token names; whether it holds is told by comparing it with the account's own."""
    number, dash, rest = token.partition("-")
    fits = dash and len(rest) == CHARACTERS and number.isascii() and number.isdecimal() and len(number) <= 18
    return int(number) if fits else None


def same(one: str, other: str) -> bool:
    """Whether two tokens are the same, in time that tells nothing of where they differ."""
    return hmac.compare_digest(one.encode(), other.encode())


def _made(settings: Settings, purpose: str, of: str) -> str:
    digest = hmac.digest(key_for(settings, f"parvis {purpose}"), of.encode(), "sha256")
    return base64.b32encode(digest).decode().lower()[:CHARACTERS]
