"""What other instances said or served that was refused, counted, so that an administrator sees what a partner does.

One row for each instance, rule and sentence: however much they send, it stays small. What is kept of their words
is the id of the thing, cut short; never content.
"""

from server import database as db
from server.clock import now_ms
from server.ids import new_id

MOST_PER_PEER = 200


async def noticed(peer_id: int, rule: str, reason: str, example: str = "") -> None:
    """Counts one refusal. `rule` is a word of ours, `reason` one sentence of ours, `example` an id of theirs."""
    now = now_ms()
    await db.execute(
        "INSERT INTO link_incident (id, peer_id, rule, reason, example, count, first_at, last_at)"
        " VALUES ($1, $2, $3, $4, $5, 1, $6, $7)"
        " ON CONFLICT (peer_id, rule, reason) DO UPDATE SET count = link_incident.count + 1,"
        " example = excluded.example, last_at = excluded.last_at",
        new_id(),
        peer_id,
        rule[:32],
        reason[:200],
        "".join(character for character in example[:300] if character.isprintable()),
        now,
        now,
    )
    await db.execute(
        "DELETE FROM link_incident WHERE peer_id = $1 AND id IN (SELECT id FROM link_incident WHERE peer_id = $2"
        " ORDER BY last_at DESC, id DESC LIMIT 1000 OFFSET $3)",
        peer_id,
        peer_id,
        MOST_PER_PEER,
    )
