"""Public keys of others that are held in memory, by key id: bounded, and dropped when their owner changes."""

from collections import OrderedDict
from dataclasses import dataclass

from federation.signatures.keys import PublicKey

MOST_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A key and its owner. `pinned`: taken from a link, not from a document."""

    key: PublicKey
    actor_uri: str
    pinned: bool = False


_held: OrderedDict[str, HeldKey] = OrderedDict()


def held(key_id: str) -> HeldKey | None:
    return _held.get(key_id)


def hold(key_id: str, key: HeldKey) -> None:
    """Keeps a key; the ones not used for longest go (R9)."""
    _held[key_id] = key
    _held.move_to_end(key_id)
    if len(_held) > MOST_KEPT:
        _held.popitem(last=False)


def drop_keys_of(actor_uri: str) -> None:
    """An actor changed: what its keys are is read again."""
    for key_id in [key_id for key_id, key in _held.items() if key.actor_uri == actor_uri and not key.pinned]:
        del _held[key_id]
