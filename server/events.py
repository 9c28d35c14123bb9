"""Facts: what happened here, written as rows in the transaction that made it true.

Federation reads them and tells whoever may be told; live pages hear of them after the commit. A fact names
ids, never content: what is told is built, and the policy asked again, at the moment of telling.
"""

from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from typing import Any

import msgspec

from server import database as db
from server import live
from server.clock import now_ms
from server.ids import new_id


class Kind(StrEnum):
    """What can have happened. `data` holds what the ids alone do not say."""

    POST_PUBLISHED = "post_published"
    POST_EDITED = "post_edited"
    POST_WITHDRAWN = "post_withdrawn"  # data: told [peer ids that were sent it]
    REACTED = "reacted"  # data: emoji, uri
    REACTION_UNDONE = "reaction_undone"  # data: emoji, uri
    VOTED = "voted"  # one of ours, in a poll that is counted elsewhere; data: option (its place)
    TALLIED = "tallied"  # a poll that is counted here stands otherwise, or is over; actor: by whose vote
    FOLLOW_ASKED = "follow_asked"  # data: followed, uri
    FOLLOW_UNDONE = "follow_undone"  # data: followed, uri
    FOLLOW_ACCEPTED = "follow_accepted"  # actor: the followed; data: follower, uri
    FOLLOW_REJECTED = "follow_rejected"  # data: follower, uri
    INVITED = "invited"  # actor: who invites; data: invited, uri
    INVITATION_ANSWERED = "invitation_answered"  # data: uri, accepted
    JOIN_ASKED = "join_asked"  # one of ours asks a space elsewhere; data: uri
    JOIN_ANSWERED = "join_answered"  # our space answers; data: member, uri, accepted
    LEFT = "left"  # one of ours leaves a space elsewhere; data: uri
    MEMBER_REMOVED = "member_removed"  # our space lets somebody elsewhere go; data: member
    RECALLED = "recalled"  # data: target (of the recall), peer
    ITEM_RECALLED = "item_recalled"  # to a server without a link; data: target, peer
    RECALL_ANSWERED = "recall_answered"  # data: purge, peer
    POST_HELD = "post_held"  # a post of somebody elsewhere waits for a steward; data: activity
    POST_APPROVED = "post_approved"  # data: activity
    POST_REFUSED = "post_refused"  # data: activity, reason
    SPACE_CHANGED = "space_changed"
    PERSON_CHANGED = "person_changed"
    PERSON_ERASED = "person_erased"  # data: peers [ids of instances that knew them]
    LINK_OFFERED = "link_offered"  # data: peer
    LINK_ACCEPTED = "link_accepted"
    LINK_CONFIRMED = "link_confirmed"
    LINK_ENDED = "link_ended"
    LINK_REKEYED = "link_rekeyed"  # data: peer, key (the address of our new key)
    LINK_MOVED = "link_moved"  # we are at another address; data: peer
    CONSENT_CHANGED = "consent_changed"  # whether our people's words may be opened to more; data: peers
    MEMBERS_DISAGREE = "members_disagree"  # space: one elsewhere; its list of our members is not ours


GOES_FIRST = frozenset({Kind.POST_WITHDRAWN, Kind.RECALLED, Kind.ITEM_RECALLED, Kind.RECALL_ANSWERED})
"""What takes back: told before everything that waits. What it takes back and still waits is not told any more."""
TOLD_UNTIL_ANSWERED = frozenset({Kind.RECALLED, Kind.RECALL_ANSWERED})
"""What is told to an instance whatever became of the link with it, and never put aside because it does not answer."""
BESIDE_THE_STREAM = frozenset(
    {
        Kind.LINK_OFFERED,
        Kind.LINK_ACCEPTED,
        Kind.LINK_CONFIRMED,
        Kind.LINK_ENDED,
        Kind.LINK_REKEYED,
        Kind.LINK_MOVED,
    }
)
"""What is about the link itself, and so cannot wait for it: told by a post of its own."""


async def record(
    kind: Kind,
    *,
    actor_id: int | None = None,
    space_id: int | None = None,
    post_id: int | None = None,
    data: dict[str, Any] | None = None,
    event_id: int | None = None,
    original: str = "",
) -> int:
    """Writes a fact in the caller's transaction and returns its id; live pages hear of it on commit.

    `original`: the activity of somebody elsewhere that made it true, to be relayed as it came (FEP-1b12).
    """
    identifier = event_id or new_id()
    await db.insert(
        "event",
        {
            "id": identifier,
            "kind": kind.value,
            "actor_id": actor_id,
            "space_id": space_id,
            "post_id": post_id,
            "data": msgspec.json.encode(data or {}).decode(),
            "original": original,
            "created_at": now_ms(),
        },
    )
    fact = live.Fact(kind.value, post_id=post_id, space_id=space_id, actor_id=actor_id)
    db.after_commit(partial(live.publish, fact))
    return identifier


async def record_published(posts: Sequence[tuple[int, int, str]], space_id: int) -> None:
    """The same, of posts (id, author, original) that came into a space elsewhere together."""
    now = now_ms()
    about = {"kind": Kind.POST_PUBLISHED.value, "space_id": space_id, "data": "{}", "created_at": now}
    rows = [
        {"id": new_id(), "actor_id": author_id, "post_id": post_id, "original": original} | about
        for post_id, author_id, original in posts
    ]
    await db.insert_many("event", rows)
    for post_id, author_id, _ in posts:
        fact = live.Fact(Kind.POST_PUBLISHED.value, post_id=post_id, space_id=space_id, actor_id=author_id)
        db.after_commit(partial(live.publish, fact))
