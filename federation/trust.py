"""Which server may speak, and for whom: the rules of FEP-fe34, as code.

An origin is scheme, host and port. What a server says is believed about its own origin and owner only; what
it says about others is proved by them, fetched from them, or dropped. Every function raises Untrusted, Refused
or returns: there is no third outcome.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from federation.errors import Malformed, Refused, Untrusted
from federation.reading import Activity, IncomingActor, IncomingNote, is_recall

Origin = tuple[str, str, int]
_PORTS = {"http": 80, "https": 443}
_PLAIN = re.compile(r"(https?)://([a-z0-9-]+(?:\.[a-z0-9-]+)*)(?::([1-9][0-9]{0,3}))?(?=[/?#]|\Z)")
"""How nearly every address begins, which all readers read alike: a lower-case host, perhaps a short port."""


@dataclass(frozen=True, slots=True)
class VerifiedSender:
    """Whose key signed a request. Only `verify` makes one.

    `linked`: signed with the pinned key of an active link; such a server speaks for every actor of its origin.
    `handshake`: signed by an instance that has no active link yet: only agreements about a link are heard.
    `peer_id` is None while nothing is kept of that instance; `met` is the sender as it was fetched for this
    request, not kept either until what it says is admitted.
    """

    actor_uri: str
    key_id: str
    host: str
    peer_id: int | None
    linked: bool = False
    handshake: bool = False
    met: IncomingActor | None = None


@lru_cache(maxsize=4096)
def origin(address: str) -> Origin:
    """Raises Malformed for what is not an http address, or is one to some readers and another to others."""
    plain = _PLAIN.match(address)
    if plain is not None and address.isascii() and address.isprintable() and "\\" not in address and " " not in address:
        return plain[1], plain[2], int(plain[3] or _PORTS[plain[1]])
    if not address.isprintable() or " " in address or "\\" in address:
        raise Malformed("An id contains a character that no address has.")
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        raise Malformed("An address cannot be read.") from None
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc or parts.hostname.endswith("."):
        raise Malformed("An id must be an http address.")
    return parts.scheme, parts.hostname.lower(), port or _PORTS[parts.scheme]


def same_origin(one: str, other: str) -> bool:
    return origin(one) == origin(other)


def lies_at(address: str, base: str) -> bool:
    """Whether an address that somebody named, and that may be none, is of this origin."""
    try:
        return same_origin(address, base)
    except Malformed:
        return False


def host_at(address: str) -> str:
    """The host of an address, with its port when it is not the scheme's own: one spelling for one host (O29)."""
    scheme, host, port = origin(address)
    written = f"[{host}]" if ":" in host else host
    return written if port == _PORTS[scheme] else f"{written}:{port}"


def speaks_for(sender: VerifiedSender, activity: Activity) -> None:
    """The signature is the actor's own, or its linked server's; and the activity's id is of the actor's origin."""
    if not same_origin(activity.id, activity.actor):
        raise Untrusted("The activity's id is not of its actor's origin.", activity.id, status=403)
    if sender.actor_uri == activity.actor:
        return
    if sender.linked and same_origin(sender.actor_uri, activity.actor):
        return
    if is_recall(activity) and same_origin(sender.actor_uri, activity.actor):
        return  # it is believed by its proof alone, also after the link has ended
    raise Untrusted("The signature is not the actor's own.", f"{sender.key_id} for {activity.actor}")


def owns_note(activity: Activity, note: IncomingNote) -> None:
    """Create and Update: the object is the actor's own and of its origin (O1, O5, O25)."""
    if note.author != activity.actor:
        raise Refused("The object is attributed to somebody else.", note.id)
    if not same_origin(note.id, activity.actor):
        raise Refused("The object's id is not of its author's origin.", note.id)


def owns_object(activity: Activity) -> None:
    """Delete and Undo: what is taken back is of the actor's own origin."""
    if not activity.object_id or not same_origin(activity.object_id, activity.actor):
        raise Refused("The object is not the actor's.", activity.object_id)
