"""Mail addresses as we take them: a plain addr-spec and nothing around it (RFC 5322, 3.4.1, without its quoted and
commented forms, which two programs read as two addresses; H16).
"""

import re

from server.limits import EMAIL_CHARACTERS

_ADDRESS = re.compile(
    r"[a-z0-9!#$%&'*+/=?^_`{|}~-]{1,64}(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]{1,64}){0,10}"
    r"@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,10}[a-z][a-z0-9-]{0,61}[a-z0-9]"
)
LOCAL_CHARACTERS = 64
"""What stands before @ (RFC 5321, 4.5.3.1.1)."""


def is_address(text: str) -> bool:
    """Whether a text in lower case is one address: ASCII, with a host name of at least two parts."""
    fits = len(text) <= EMAIL_CHARACTERS and text.find("@") <= LOCAL_CHARACTERS
    return fits and _ADDRESS.fullmatch(text) is not None
