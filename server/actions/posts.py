"""Publish, edit, withdraw: what our own people do with their posts. The rest is in `arriving` and `gestures`.

Every verb asks the policy first, then changes rows, writes the fact and leaves notices, in one transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from server import database as db
from server.actions import attachments, recalls
from server.actions.gestures import WAITS
from server.actions.naming import nameable, same_side, side_for, tell_named
from server.actions.poll_rows import NewPoll
from server.actions.post_rows import replace, take_back, write, write_names
from server.clock import now_ms
from server.errors import Forbidden, Invalid
from server.events import Kind, record
from server.ids import Addresses, new_id
from server.limits import ATTACHMENTS
from server.openness import Visibility
from server.policy import Act
from server.queries import posts, spaces
from server.queries.clocks import time_at
from server.refusals import N_
from server.text import render
from server.viewer import Employee, Guest, RemotePerson, Resident, Viewer, side_of

EMPTY = N_("Votre message est vide : écrivez quelque chose, ou joignez un fichier.")
NO_QUESTION = N_("Écrivez la question de votre sondage.")
NO_SUCH_FILE = N_("Un des fichiers joints n’existe pas, ou n’est pas à vous.")
TOO_MANY_FILES = N_("Un message porte au plus %(limit)s fichiers.")
GUESTS_IN_SPACES = N_("Vous êtes ici l’invité·e d’espaces : c’est dans l’un d’eux que vous publiez.")
NOT_DESCRIBED: Mapping[int, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Draft:
    """What one of our people wants to say, and where.

    `described`: what is to be seen in files, by their ids; the others keep what was said of them.
    """

    source: str
    space_id: int | None = None
    visibility: Visibility = Visibility.COLLEAGUES
    reply_to_id: int | None = None
    file_ids: Sequence[int] = ()
    summary: str = ""
    language: str = ""
    client_key: str | None = None
    poll: NewPoll | None = None
    described: Mapping[int, str] = field(default_factory=dict)


async def publish(viewer: Resident, draft: Draft, here: Addresses) -> int:
    """One of our people says something; returns the post's id, the same one for the same `client_key`.

    Raises NotFound, Forbidden, Invalid or TooLarge, each with a sentence.
    """
    async with db.together():
        said = await _said_before(viewer, draft.client_key)
        if said is not None:
            return said
        parent = await posts.find(viewer, draft.reply_to_id) if draft.reply_to_id else None
        space = await _place(viewer, draft, parent)
        visibility = None if space else (Visibility(parent.visibility) if parent else draft.visibility)
        if not draft.source.strip() and not draft.file_ids:
            raise Invalid(NO_QUESTION if draft.poll else EMPTY, field="status")
        rendered = render(draft.source, await nameable(viewer, draft.source, space, here))
        side = await side_for(side_of(viewer), space, parent.facts.side if parent else "", rendered.mentions)
        post_id = new_id()
        await write(
            post_id,
            here.post(post_id),
            viewer.actor_id,
            space,
            parent,
            visibility,
            {
                "source": draft.source,
                "html": rendered.html,
                "summary": draft.summary,
                "language": draft.language,
                "client_key": draft.client_key,
                "side": side,
                "published_at": await _now_in(space, parent),
            },
            draft.poll,
        )
        await _attach(viewer, post_id, draft)
        await write_names(post_id, rendered.mentions)
        await tell_named(post_id, viewer.actor_id, space)
        await record(
            Kind.POST_PUBLISHED, actor_id=viewer.actor_id, space_id=space.id if space else None, post_id=post_id
        )
        return post_id


async def edit(
    viewer: Resident,
    post_id: int,
    source: str,
    here: Addresses,
    language: str = "",
    described: Mapping[int, str] = NOT_DESCRIBED,
) -> None:
    """Says it better; what it said before is kept for those who may read it.

    `described`: what is to be seen in its files, by their ids; the others keep what was said of them.
    """
    async with db.together():
        post = await posts.find(viewer, post_id)
        post.demand(viewer, Act.EDIT_POST)
        if not source.strip() and not await db.fetch_one("SELECT id FROM attachment WHERE post_id = $1", post_id):
            raise Invalid(EMPTY, field="status")
        if not await attachments.describe_anew(post_id, described) and source == post.source:
            return
        rendered = render(source, await nameable(viewer, source, post.space, here))
        await same_side(viewer, post, rendered.mentions)
        await replace(post.id, post.html, post.source, rendered.html, source, now_ms())
        await db.execute("DELETE FROM mention WHERE post_id = $1", post_id)
        await write_names(post_id, rendered.mentions)
        await tell_named(post_id, viewer.actor_id, post.space, answered=False)
        await record(
            Kind.POST_EDITED,
            actor_id=viewer.actor_id,
            space_id=post.space.id if post.space else None,
            post_id=post_id,
        )


async def withdraw(viewer: Viewer, post_id: int) -> None:
    """Takes a post back: nobody reads it from now on, and whoever was sent it is told so."""
    async with db.together():
        post = await posts.find(viewer, post_id)
        post.demand(viewer, Act.WITHDRAW_POST)
        await take_back(post.id, post.author_id, post.space.id if post.space else None)
        by_author = isinstance(viewer, (Employee, RemotePerson)) and viewer.actor_id == post.author_id
        if post.space is not None and post.space.hosted_here and not by_author:
            await recalls.take_back_item(viewer, post.space.id, post.id)


async def expire(post_id: int) -> None:
    """A post has had its time in its space: it goes as if its author had taken it back."""
    async with db.together():
        row = await db.fetch_one("SELECT author_id, space_id FROM post WHERE id = $1 AND deleted_at IS NULL", post_id)
        if row is not None:
            await take_back(post_id, row["author_id"], row["space_id"])


async def _now_in(space: spaces.SeenSpace | None, parent: posts.SeenPost | None) -> int:
    """In a space elsewhere by its host's clock, as is since when everybody there is in.

    However little of that clock is known, it is after its author came in and what is answered was said: else they, and
    who asked, would not read it (I3).
    """
    if space is None or space.hosted_here:
        return now_ms()
    there = await time_at(space.facts.peer_id)
    return max(there, space.standing.since_at or 0, parent.facts.published_at if parent else 0)


async def _said_before(viewer: Resident, key: str | None) -> int | None:
    if key is None:
        return None
    row = await db.fetch_one("SELECT id FROM post WHERE author_id = $1 AND client_key = $2", viewer.actor_id, key)
    return int(row["id"]) if row else None


async def _place(viewer: Resident, draft: Draft, parent: posts.SeenPost | None) -> spaces.SeenSpace | None:
    """Where it will stand: a reply stands where its parent does."""
    if parent is not None:
        parent.demand(viewer, Act.REPLY)
        if parent.facts.held:
            raise Forbidden(WAITS)
        if isinstance(viewer, Guest) and parent.space is None and parent.visibility != Visibility.DIRECT:
            raise Forbidden(GUESTS_IN_SPACES)
        return parent.space
    if draft.space_id is None:
        if isinstance(viewer, Guest):
            raise Forbidden(GUESTS_IN_SPACES)
        return None
    space = await spaces.find_by_id(viewer, draft.space_id)
    space.demand(viewer, Act.POST)
    return space


async def _attach(viewer: Resident, post_id: int, draft: Draft) -> None:
    if len(draft.file_ids) > ATTACHMENTS:
        raise Invalid(TOO_MANY_FILES, field="media_ids", params={"limit": ATTACHMENTS})
    for position, file_id in enumerate(draft.file_ids):
        changed = await db.execute(
            "UPDATE attachment SET post_id = $1, position = $2 WHERE id = $3 AND owner_id = $4 AND post_id IS NULL",
            post_id,
            position,
            file_id,
            viewer.actor_id,
        )
        if not changed:
            raise Invalid(NO_SUCH_FILE, field="media_ids")
    await attachments.describe_anew(post_id, draft.described)
