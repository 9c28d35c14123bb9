"""How often something may be tried: counted by the database in one statement, so that tries at once count too (W9).

By name, by address and by network, because each alone can be changed by whoever tries (W4). Counting happens
before the work, outside any transaction: a try that fails afterwards has still been one.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from server import database as db
from server.clock import now_ms
from server.credentials import token_hash
from server.errors import Forbidden
from server.ids import new_id
from server.refusals import N_

TOO_MANY = N_("Trop d’essais : réessayez dans %(minutes)s min.")
WINDOW_MS = 15 * 60 * 1000
KEPT_MS = 24 * 3600 * 1000

PER_NAME = 10
PER_ADDRESS = 100
"""A whole office may come from one address; those who succeed are not counted."""
PER_NETWORK = 400


class TooManyAttempts(Forbidden):
    """Tried too often for now. `retry_after_s`: seconds until it may be tried again; 429 over HTTP."""

    default = TOO_MANY

    def __init__(self, retry_after_s: int) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(TOO_MANY, params={"minutes": max(1, -(-retry_after_s // 60))})


@dataclass(frozen=True, slots=True, order=True)
class Bucket:
    """What is counted together, and how many tries in one window pass."""

    name: str
    most: int


def buckets(purpose: str, name: str, address: str) -> list[Bucket]:
    """Those of one try: who is tried (hashed: a name may be anything), from where, from which network."""
    where, network = _places(address)
    found = [Bucket(f"{purpose}:name:{token_hash(name)[:32]}", PER_NAME)]
    if where:
        found.append(Bucket(f"{purpose}:address:{where}", PER_ADDRESS))
        found.append(Bucket(f"{purpose}:network:{network}", PER_NETWORK))
    return found


async def count(counted: Sequence[Bucket]) -> None:
    """Counts one try in each bucket. Raises TooManyAttempts when one of them is full."""
    now = now_ms()
    window = now - now % WINDOW_MS
    wanted = sorted(counted)  # in one order, so that two statements never wait for each other
    values = ", ".join(f"(${3 * i + 1}, ${3 * i + 2}, ${3 * i + 3}, 1)" for i in range(len(wanted)))
    rows = await db.fetch(
        f"INSERT INTO attempt (id, bucket, window_at, tries) VALUES {values}"
        " ON CONFLICT (bucket, window_at) DO UPDATE SET tries = attempt.tries + 1 RETURNING bucket, tries",
        *(value for bucket in wanted for value in (new_id(), bucket.name, window)),
    )
    tries = {row["bucket"]: row["tries"] for row in rows}
    if any(tries[bucket.name] > bucket.most for bucket in wanted):
        raise TooManyAttempts((window + WINDOW_MS - now) // 1000 + 1)


async def forgive(counted: Sequence[Bucket]) -> None:
    """Takes one try back from each bucket: it succeeded."""
    window = now_ms() - now_ms() % WINDOW_MS
    for bucket in sorted(counted):
        await db.execute(
            "UPDATE attempt SET tries = tries - 1 WHERE bucket = $1 AND window_at = $2 AND tries > 0",
            bucket.name,
            window,
        )


async def sweep() -> int:
    """Forgets windows that are long over (R9); how many rows that were."""
    return await db.execute("DELETE FROM attempt WHERE window_at < $1", now_ms() - KEPT_MS)


def _places(address: str) -> tuple[str, str]:
    """An address and its network: /24, or for IPv6 /64 and /48, as one household has a whole /64."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "", ""
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    widths = (32, 24) if parsed.version == 4 else (64, 48)
    narrow, wide = (str(ipaddress.ip_network((int(parsed), width), strict=False)) for width in widths)
    return narrow, wide
