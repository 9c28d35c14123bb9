"""The table: an activity and what its object is, to its handler. What is not here is refused, and said so."""

from collections.abc import Awaitable, Callable, Sequence

from federation.handlers import actors, links, membership, posts, recalls, relays
from federation.handlers.call import Call
from federation.page_memory import forget, remembering
from federation.reading import is_consent, is_recall
from federation.vocabulary import ACTORS, CONSENT, NOTES, RECALL, RECEIPT

Handler = Callable[[Call], Awaitable[None]]

ANY = "*"
NOTE = "Note"
ACTOR = "Actor"

HANDLERS: dict[tuple[str, str], Handler] = {
    ("Create", NOTE): posts.create,
    ("Update", NOTE): posts.update,
    ("Update", ACTOR): actors.update,
    ("Delete", ANY): posts.delete,
    ("Delete", RECALL): recalls.recalled,
    (RECEIPT, ANY): recalls.answered,
    ("Like", ANY): posts.like,
    ("EmojiReact", ANY): posts.like,
    ("Announce", ANY): relays.announce,
    ("Follow", ANY): membership.follow,
    ("Join", ANY): membership.join,
    ("Leave", ANY): membership.leave,
    ("Invite", ANY): membership.invite,
    ("Accept", ANY): membership.answer,
    ("Reject", ANY): membership.answer,
    ("TentativeAccept", ANY): membership.answer,
    ("Remove", ANY): membership.remove,
    ("parvis:MembersDisagree", ANY): membership.disagreed,
    ("Undo", ANY): membership.undo,
    ("Offer", ANY): links.offered,
    ("parvis:Confirm", ANY): links.confirmed,
    ("Update", CONSENT): links.consent,
}


def handler_for(call: Call) -> Handler | None:
    """The handler of an activity, or None when it is not one that we take."""
    kind = call.said.object_type
    if is_recall(call.said):
        return HANDLERS["Delete", RECALL]
    if is_consent(call.said):
        return HANDLERS["Update", CONSENT]
    itself = call.actor.kind == "application" and call.said.object_id == call.said.actor
    shape = NOTE if kind in NOTES else ACTOR if kind in ACTORS or itself else ANY
    return HANDLERS.get((call.said.type, shape)) or HANDLERS.get((call.said.type, ANY))


async def take_together(calls: Sequence[Call]) -> None:
    """Runs the handlers of calls that have one, in the caller's transaction. Raises what the first of them raises.

    Consecutive relays share what they ask; whatever else is among them may change the answers.
    """
    with remembering():
        relayed = relays.Gathering()
        for call in calls:
            handler = handler_for(call)
            if handler is relays.announce:
                await relayed.take(call)
            elif handler is not None:
                await relayed.flush()
                forget()
                await handler(call)
                forget()
        await relayed.flush()
