"""notifications/*: what waits for the caller, in the words of the field."""

from collections.abc import Mapping

from starlette.responses import Response

from server.actions import notices
from server.errors import NotFound
from server.queries import notifications
from server.queries.notifications import Waiting
from web.api import present
from web.api.calls import Call, json
from web.api.paging import links, window

MOST_TYPES = 30

KINDS: Mapping[str, tuple[str, ...]] = {
    "mention": ("mention", "reply"),
    "favourite": ("reaction",),
    "poll": ("poll",),
    "follow": ("follow",),
    "parvis_link": ("link",),
    "parvis_invitation": ("invitation",),
    "parvis_member": ("member",),
    "parvis_request": ("request",),
    "parvis_declined": ("declined",),
    "parvis_held": ("held",),
    "parvis_refused": ("refused",),
    "parvis_glass": ("glass", "glass_asked"),
    "parvis_approval": ("approval",),
    "parvis_openness": ("openness",),
    "parvis_review": ("review",),
    "parvis_recall": ("recall",),
}
"""What the field calls our kinds of notices. Ours alone are told to those clients only that ask for them."""

FIELD = ("mention", "favourite", "poll", "follow")


async def listed(call: Call) -> Response:
    """What waits, newest first; `types[]` and `exclude_types[]` choose among the kinds."""
    asked = window(call)
    kinds = _kinds(call)
    if not kinds:
        return json([])
    waiting = await notifications.waiting(
        call.me, kinds=kinds, before=asked.before, after=asked.after, upward=asked.upward, limit=asked.limit
    )
    told = [shape(call, one) for one in waiting]
    return json(told, headers=links(call, [one.id for one in waiting]))


async def show(call: Call) -> Response:
    """One of the caller's own; anybody else's is not there."""
    found = await notifications.waiting(call.me, after=call.id() - 1, upward=True, limit=1)
    if not found or found[0].id != call.id():
        raise NotFound(detail="no such notice")
    return json(shape(call, found[0]))


async def unread(call: Call) -> Response:
    """How many wait and were not seen."""
    return json({"count": await notifications.unread(call.me)})


async def clear(call: Call) -> Response:
    """Everything has been seen. It stays where it is: pages still show it."""
    await notices.read_all(call.me.actor_id)
    return json({})


def shape(call: Call, one: Waiting) -> present.Shape:
    """A notice. Without anybody who did it, the space stands for them."""
    by = one.by or (one.post.author if one.kind == "poll" and one.post else None)
    account = present.account(by, call.here) if by else None
    if account is None and one.space is not None:
        account = present.group(one.space, call.here)
    return {
        "id": str(one.id),
        "type": next((name for name, kinds in KINDS.items() if one.kind in kinds), f"parvis_{one.kind}"),
        "created_at": present.moment(one.created_at),
        "group_key": f"ungrouped-{one.id}",
        "account": account,
        "status": present.status(one.post, call.here) if one.post else None,
        "parvis_kind": one.kind,
        "parvis_about": one.about,
        "parvis_space": one.space.slug if one.space else None,
        "parvis_read": one.read,
        "parvis_words": one.words or None,
    }


def _kinds(call: Call) -> list[str]:
    wanted = call.fields.texts("types", MOST_TYPES) or list(FIELD)
    unwanted = call.fields.texts("exclude_types", MOST_TYPES)
    return [kind for name in wanted if name not in unwanted for kind in KINDS.get(name, ())]
