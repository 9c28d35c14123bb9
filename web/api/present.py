"""What we hold in the shapes that clients of the field expect. Knows no permission: it shows what it is given.

Ids are texts, because JavaScript has no whole numbers of 64 bits. A space is an account with `group`, and a list.
"""

import datetime as dt
from typing import Any

from server.ids import Addresses, born_ms
from server.openness import Level, Variant
from server.queries.audience import AudienceCount
from server.queries.polls import PollCard
from server.queries.posts import FileCard, PersonCard, PostCard
from server.queries.spaces import SeenSpace
from server.text import plain

Shape = dict[str, Any]

VISIBILITY = {"public": "public", "colleagues": "private", "followers": "private", "direct": "direct"}
KINDS = {"image": "image", "video": "video", "audio": "audio"}
THANKS = ""
"""The plain gesture that a favourite is."""


def audience(count: AudienceCount) -> Shape:
    """Who reads a post of the caller's own, in numbers; `exact`: whether `people` are all of them."""
    return {
        "people": count.people,
        "exact": count.exact,
        "colleagues": count.colleagues,
        "guests": count.guests,
        "partners": [{"host": at.host, "people": at.count} for at in (*count.partners, *count.everyone_at)],
        "network": count.network,
        "public": count.public,
    }


def moment(ms: int) -> str:
    """Milliseconds since 1970 as ISO 8601 in UTC."""
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"


def day(ms: int) -> str:
    """The day of a moment, as the field writes when an account began."""
    return moment(ms)[:11] + "00:00:00.000Z"


def account(person: PersonCard, here: Addresses, *, note: str = "") -> Shape:
    """A person of ours or elsewhere. Counts are kept to ourselves: no list of ours says how many read whom."""
    return {
        "id": str(person.id),
        "username": person.name,
        "acct": person.handle,
        "display_name": person.display_name or person.name,
        "locked": False,
        "bot": person.kind == "application",
        "group": person.kind == "group",
        "discoverable": False,
        "indexable": False,
        "created_at": day(born_ms(person.id)),
        "note": note,
        "url": person.uri,
        "uri": person.uri,
        "avatar": picture(here),
        "avatar_static": picture(here),
        "header": picture(here),
        "header_static": picture(here),
        "followers_count": 0,
        "following_count": 0,
        "statuses_count": 0,
        "last_status_at": None,
        "emojis": [],
        "fields": [],
    }


def picture(here: Addresses) -> str:
    """What stands for everybody's portrait."""
    return f"{here.base}/static/person.svg"


def group(space: SeenSpace, here: Addresses) -> Shape:
    """A space as an account."""
    name = space.slug.partition("@")[0]
    card = PersonCard(space.actor_id, space.uri, name, space.host, space.name, "group")
    return account(card, here, note=space.description) | {"parvis_space": space.slug}


def as_list(space: SeenSpace) -> Shape:
    """A space as a list: what a client offers to read on its own."""
    return {
        "id": str(space.id),
        "title": space.name,
        "replies_policy": "list",
        "exclusive": False,
        "parvis_space": space.slug,
        "parvis_level": space.level.value,
    }


def status(card: PostCard, here: Addresses) -> Shape:
    """A post."""
    thanks = next((r for r in card.reactions if r.emoji == THANKS), None)
    return {
        "id": str(card.id),
        "uri": card.uri,
        "url": here.post(card.id),
        "created_at": moment(card.published_at),
        "edited_at": moment(card.edited_at) if card.edited_at else None,
        "in_reply_to_id": str(card.reply_to_id) if card.reply_to_id and card.reply_to_author else None,
        "in_reply_to_account_id": str(card.reply_to_author.id) if card.reply_to_author else None,
        "account": account(card.author, here),
        "content": card.html,
        "spoiler_text": card.summary,
        "sensitive": bool(card.summary),
        "visibility": visibility(card),
        "language": card.language or None,
        "replies_count": card.reply_count,
        "reblogs_count": 0,
        "favourites_count": thanks.count if thanks else 0,
        "favourited": bool(thanks and thanks.mine),
        "reblogged": False,
        "muted": False,
        "bookmarked": False,
        "pinned": False,
        "reblog": None,
        "card": None,
        "poll": poll(card.id, card.poll) if card.poll else None,
        "application": None,
        "media_attachments": [attachment(file, here) for file in card.files],
        "mentions": [mention(person) for person in card.mentions],
        "tags": [],
        "emojis": [],
        "filtered": [],
        "parvis_space": card.space.slug if card.space else None,
        "parvis_visibility": card.visibility or None,
        "parvis_ticks": [{"host": t.host, "state": t.state, "reason": t.reason or None} for t in card.ticks],
        "parvis_held": card.facts.held,
        "parvis_reactions": [{"emoji": r.emoji, "count": r.count, "mine": r.mine} for r in card.reactions],
    }


def poll(post_id: int, card: PollCard) -> Shape:
    """A poll, which has the id of its post."""
    return {
        "id": str(post_id),
        "expires_at": moment(card.ends_at) if card.ends_at is not None else None,
        "expired": card.ended,
        "multiple": card.multiple,
        "votes_count": card.votes,
        "voters_count": card.voters,
        "options": [{"title": option.title, "votes_count": option.votes} for option in card.options],
        "emojis": [],
        "voted": card.voted,
        "own_votes": [position for position, option in enumerate(card.options) if option.mine],
    }


def visibility(card: PostCard) -> str:
    """In the field's words. What stands in a space is private, unless the space is public."""
    if card.space is None:
        return VISIBILITY[card.visibility]
    was_public = card.facts.stamp in (Variant.PUBLIC, Variant.ELSEWHERE)
    return "public" if card.space.level is Level.PUBLIC and was_public else "private"


def mention(person: PersonCard) -> Shape:
    return {"id": str(person.id), "username": person.name, "acct": person.handle, "url": person.uri}


def attachment(file: FileCard, here: Addresses) -> Shape:
    """A file. While its bytes are still elsewhere it has no address: clients then ask again."""
    address = here.media(file.id, file.name) if file.state == "ready" else None
    kind = KINDS.get(file.media_type.partition("/")[0], "unknown")
    original = {"size": file.size} | (_size(file.width, file.height) if file.width else {})
    return {
        "id": str(file.id),
        "type": kind,
        "url": address,
        "preview_url": here.small(file.id) if address and file.width else None,
        "remote_url": None,
        "text_url": address,
        "meta": {"original": original, "name": file.name, "media_type": file.media_type},
        "description": file.description or None,
        "blurhash": None,
    }


def _size(width: int, height: int) -> Shape:
    """Of a picture, in pixels. The field writes `size` with them as a text; here it is in bytes, as of any file."""
    return {"width": width, "height": height, "aspect": round(width / height, 4)}


def source(card: PostCard) -> Shape:
    """What its author typed."""
    return {"id": str(card.id), "text": card.source or plain(card.html), "spoiler_text": card.summary}
