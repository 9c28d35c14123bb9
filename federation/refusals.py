"""What a partner said that was refused, counted under a rule where its administrator's counterpart here sees it.

Rules are words of ours: those of the receiver (RR1 to RR7), and a few for what comes before. What anybody could have
sent in a partner's name is counted too, at most once a minute for each rule, so that strangers make no work.
"""

from federation.errors import FederationError, Gone, Malformed, Unreachable, Untrusted
from server import database as db
from server.actions.incidents import noticed
from server.clock import now_ms
from server.errors import DomainError, NotFound

UNPROVED_EVERY_MS = 60_000
MOST_KEPT = 1000
RULES = ("RR1", "RR2", "RR3", "RR4", "RR5", "RR6", "RR7", "I8", "O24", "W2")
_RULE_OF = {Malformed: "malformed", Untrusted: "untrusted", Unreachable: "unreachable", Gone: "gone"}

_lately: dict[tuple[str, str], int] = {}


async def counted(peer_id: int, error: Exception, example: str) -> None:
    """Counts one refusal of a linked instance, proved to be its own."""
    await noticed(peer_id, rule_of(error), reason_of(error), example)


async def unproved(host: str, error: FederationError) -> None:
    """Counts what was refused before it was known who sent it, when its signature names a linked instance."""
    now, rule = now_ms(), f"unproved {rule_of(error)}"[:32]
    if now - _lately.get((host, rule), 0) < UNPROVED_EVERY_MS:
        return
    row = await db.fetch_one(
        "SELECT q.id FROM peer q JOIN link l ON l.peer_id = q.id WHERE q.host = $1 AND l.state = 'active'", host
    )
    if row is None:
        return
    if len(_lately) >= MOST_KEPT:
        _lately.clear()
    _lately[host, rule] = now
    await noticed(row["id"], rule, reason_of(error))


def rule_of(error: Exception) -> str:
    """The rule that was broken, as the error or its sentence names it."""
    if isinstance(error, FederationError) and error.rule:
        return error.rule
    words = str(error)
    named = next((rule for rule in RULES if f"({rule})" in words), "")
    if named:
        return named
    if isinstance(error, FederationError):
        return _RULE_OF.get(type(error), "refused")
    return "hidden" if isinstance(error, NotFound) else "refused"


def reason_of(error: Exception) -> str:
    """One sentence of ours: what is theirs stays out."""
    if isinstance(error, FederationError):
        return error.sentence
    if isinstance(error, DomainError):
        return error.detail or error.sentence
    return type(error).__name__
