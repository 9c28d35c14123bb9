"""The digest of a list of members: what two instances compare instead of the list.

`parvis:membersRoot` is SHA-256 over the ids, sorted and joined by line feeds. The digest of FEP-8fcf (SHA-256 of each
id, joined by exclusive or) is linear: whoever chooses ids chooses digests, so it decides nothing and is not told.
"""

import hashlib
from collections.abc import Iterable


def root_of(ids: Iterable[str]) -> str:
    """In hexadecimal; the same for the same set, in whatever order and however often an id stands in it."""
    return hashlib.sha256("\n".join(sorted(set(ids))).encode()).hexdigest()
