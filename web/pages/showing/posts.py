"""The feed, a thread, one card, the composer and who will see what it sends."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from html import escape

from starlette.responses import Response

from server.errors import DomainError, NotFound
from server.openness import Visibility
from server.policy import Act
from server.queries import attachments, audience, posts, spaces
from server.queries.audience import At, AudienceCount
from server.queries.posts import FileCard, PostCard, SeenPost
from server.queries.spaces import SeenSpace
from server.queries.threads import Thread
from server.refusals import N_
from server.text import excerpt
from server.viewer import Employee, Resident
from web.locale import Speech
from web.pages.composing import Asked, Written, new_key
from web.pages.describing import Described
from web.pages.showing.frame import Refused, piece, refused_words, show, speech_for
from web.pages.visits import Visit
from web.render import VISIBILITY_LEVELS, VISIBILITY_WORDS

TITLE_LENGTH = 60
MOST_PLACES = 200


@dataclass(frozen=True, slots=True)
class Shown:
    """A post and what its reader may do with it."""

    post: PostCard
    new: bool = False
    signed_in: bool = False
    may_reply: bool = False
    may_react: bool = False
    may_edit: bool = False
    may_withdraw: bool = False
    may_open: bool = False  # its files
    may_vote: bool = False
    refused: Refused | None = None  # why a vote was not taken


@dataclass(frozen=True, slots=True)
class AudienceLine:
    """Who will see it, in one sentence of safe HTML; `level` gives the colour and the icon.

    `detail`: where the list stands; `outside`: people from outside read; `tone`, `frame`: of the space.
    """

    level: str
    words: str
    detail: str = ""
    outside: bool = False
    tone: str = ""
    frame: str = ""


@dataclass(frozen=True, slots=True)
class Option:
    value: str
    words: str


@dataclass(frozen=True, slots=True)
class Composing:
    """A composer as it stands on a page. `kept`: files that are here already, with what is said of them; `lines`: what
    is said of others, line by line.
    """

    text: str
    where: str
    key: str
    answers: int | None
    kept: Sequence[FileCard]
    places: Sequence[Option]
    line: AudienceLine
    poll: Asked = field(default_factory=Asked)
    lines: str = ""


def shown(visit: Visit, post: PostCard, mark: int | None = None) -> Shown:
    """A card, with the policy asked for each thing that may be done."""
    viewer = visit.viewer
    may_react = not post.facts.held and bool(post.may(viewer, Act.REACT))
    return Shown(
        post,
        new=mark is not None and post.id > mark and _by_other(viewer, post),
        signed_in=isinstance(viewer, Resident),
        may_reply=not post.facts.held and bool(post.may(viewer, Act.REPLY)),
        may_react=may_react,
        may_edit=bool(post.may(viewer, Act.EDIT_POST)),
        may_withdraw=bool(post.may(viewer, Act.WITHDRAW_POST)),
        may_open=bool(post.files) and bool(post.may(viewer, Act.OPEN_FILE)),
        may_vote=may_react and post.poll is not None and not post.poll.ended and not post.poll.voted,
    )


def _by_other(viewer: object, post: PostCard) -> bool:
    return not (isinstance(viewer, Resident) and viewer.actor_id == post.author.id)


async def home(visit: Visit, found: list[PostCard], mark: int) -> Response:
    """The feed; `mark` is the newest post that was seen before."""
    views = [shown(visit, post, mark) for post in found]
    stopped = next((index for index, view in enumerate(views) if view.post.id <= mark), len(views))
    older = f"/?before={found[-1].id}" if len(found) >= 20 else ""
    first = visit.cursor("before") is None
    composing = await _composing(visit, Written(where=visit.query("where"), key=new_key())) if first else None
    return await show(visit, "home.html", "home", views=views, mark=stopped, composing=composing, older=older)


async def thread(visit: Visit, found: Thread, refused: DomainError | None = None) -> Response:
    """A post, what it answers and what answers it, and where one can answer; `refused`: why a vote was not taken."""
    view = replace(shown(visit, found.post), refused=await refused_words(visit, refused))
    composing = None
    if view.may_reply and isinstance(visit.viewer, Resident):
        composing = await _composing(visit, Written(answers=found.post.id, key=new_key()))
    return await show(
        visit,
        "post.html",
        "home",
        status=200 if refused is None else 422,
        title=excerpt(found.post.html, TITLE_LENGTH) or found.post.author.display_name,
        before=[shown(visit, post) for post in found.before],
        view=view,
        after=[shown(visit, post) for post in found.after],
        more=found.more,
        composing=composing,
    )


async def card(visit: Visit, post_id: int, refused: DomainError | None = None) -> Response:
    """One post for a page that is open; `refused`: why a vote was not taken. Raises NotFound."""
    found = await posts.cards(visit.viewer, [post_id])
    if not found:
        raise NotFound(detail="no such post")
    back = f"/posts/{found[0].root_id or post_id}" if visit.query("in") == "thread" else "/"
    reply = visit.query("in") == "thread" and found[0].reply_to_id is not None
    view = replace(shown(visit, found[0]), refused=await refused_words(visit, refused))
    return await piece(visit, "_card.html", view=view, back=back, reply=reply)


async def composer(visit: Visit, wrote: Written, refused: DomainError | None = None) -> Response:
    """The composer on a page of its own, with what was typed and why it did not go."""
    wrote = wrote if wrote.key else replace(wrote, key=new_key())
    status = 200 if refused is None else 422
    composing = await _composing(visit, wrote)
    if composing is None:
        raise refused or NotFound(detail=f"nowhere to write for {visit.me.office}")
    words = await refused_words(visit, refused)
    return await show(visit, "composer.html", "home", status=status, composing=composing, refused=words)


async def editor(
    visit: Visit, post: SeenPost, text: str, said: Described, refused: DomainError | None = None
) -> Response:
    """A post, to say it better. `said`: what was typed of its files."""
    speaks, _ = await speech_for(visit.request, visit.viewer)
    line = sentence(speaks, await audience.of_post(visit.viewer, post), _level(post.space, post.visibility))
    status = 200 if refused is None else 422
    words = await refused_words(visit, refused)
    files = await files_of(visit, post)
    files, lines = _told(files, [file.id for file in files], said)
    facts = {"post": post, "text": text, "line": line, "files": files, "lines": lines, "refused": words}
    return await show(visit, "post_edit.html", "home", status=status, **facts)


async def files_of(visit: Visit, post: SeenPost) -> list[FileCard]:
    """The files of a post that its author may open, and so describe."""
    found = await posts.cards(visit.viewer, [post.id])
    return [file for card in found for file in card.files] if post.may(visit.viewer, Act.OPEN_FILE) else []


async def audience_line(visit: Visit, space: SeenSpace, count: AudienceCount) -> Response:
    """The composer's line for a space that was just chosen."""
    speaks, _ = await speech_for(visit.request, visit.viewer)
    return await piece(visit, "_audience.html", line=await _there(speaks, space, count))


async def audience_there(visit: Visit, where: str) -> Response:
    """The composer's line for a place that was just chosen, as its list names it. Raises NotFound."""
    speaks, _ = await speech_for(visit.request, visit.me)
    if where.startswith("@"):
        if where[1:] not in set(Visibility):
            raise NotFound(detail="no such place")
        return await piece(visit, "_audience.html", line=await _line(visit, speaks, where, {}))
    space = await spaces.find(visit.me, where)
    return await piece(visit, "_audience.html", line=await _line(visit, speaks, where, {where: space}))


async def composing_in(visit: Visit, space: SeenSpace) -> Composing | None:
    """The composer of a space's own page, for those who may post there."""
    if not isinstance(visit.viewer, Resident) or not space.may(visit.viewer, Act.POST):
        return None
    return await _composing(visit, Written(where=space.slug, key=new_key()), space)


# --- the steps -----------------------------------------------------------------------------------


async def _composing(visit: Visit, wrote: Written, only: SeenSpace | None = None) -> Composing | None:
    speaks, _ = await speech_for(visit.request, visit.viewer)
    kept = await attachments.waiting(visit.me, wrote.kept) if wrote.kept else []
    kept, lines = _told(kept, wrote.kept, wrote.said)
    if wrote.answers is not None:
        post = await posts.find(visit.viewer, wrote.answers)
        count = await audience.of_post(visit.viewer, post)
        line = sentence(speaks, count, _level(post.space, post.visibility), f"/posts/{post.id}/audience")
        if post.space is not None:
            line = await _toned(line, post.space)
        return Composing(wrote.text, "", wrote.key, wrote.answers, kept, (), line, lines=lines)
    mine = [only] if only else await spaces.known(visit.viewer, mine=True, limit=MOST_PLACES)
    mine = [space for space in mine if space.may(visit.viewer, Act.POST)]
    places = [Option(space.slug, space.name) for space in mine]
    if only is None and isinstance(visit.viewer, Employee):
        wanted = ("colleagues", "public", "followers")
        places += [Option(f"@{name}", speaks.gettext(VISIBILITY_WORDS[name])) for name in wanted]
    if not places:
        return None
    where = wrote.where if any(place.value == wrote.where for place in places) else places[0].value
    line = await _line(visit, speaks, where, {space.slug: space for space in mine})
    return Composing(wrote.text, where, wrote.key, None, kept, places, line, wrote.poll, lines)


def _told(files: Sequence[FileCard], ids: Sequence[int], said: Described) -> tuple[list[FileCard], str]:
    """Files with what somebody has just typed of them, by the ids in their form, and what they typed of no file."""
    found, left = said.matched(ids)
    return [replace(file, description=found.get(file.id, file.description)) for file in files], left


async def _line(visit: Visit, speaks: Speech, where: str, known: dict[str, SeenSpace]) -> AudienceLine:
    if where.startswith("@"):
        visibility = Visibility(where[1:])
        count = await audience.of_visibility(visit.colleague, visibility)
        return sentence(speaks, count, VISIBILITY_LEVELS[visibility])
    space = known[where]
    return await _there(speaks, space, await audience.of_space(visit.viewer, space))


async def _there(speaks: Speech, space: SeenSpace, count: AudienceCount) -> AudienceLine:
    """The line for a space, with its tone and frame beside it."""
    return await _toned(sentence(speaks, count, space.level.value, f"/spaces/{space.slug}/audience"), space)


async def _toned(line: AudienceLine, space: SeenSpace) -> AudienceLine:
    tone, frame = await spaces.tone_of(space)
    return replace(line, tone=tone, frame=frame)


def _level(space: SeenSpace | None, visibility: str) -> str:
    return space.level.value if space else VISIBILITY_LEVELS.get(visibility, "internal")


def sentence(speaks: Speech, count: AudienceCount, level: str, detail: str = "") -> AudienceLine:
    """« Visible par 48 personnes : 31 collègues, 15 chez kestrel.example »."""
    outside = bool(count.guests or count.partners or count.everyone_at or count.network or count.public)
    if count.public:
        words = speaks.gettext("Visible par <strong>tout le monde</strong>, sans compte.")
        return AudienceLine(level, words, detail, outside)
    parts = ", ".join(_short(speaks, count))
    return AudienceLine(level, f"{_visible(speaks, count)} {parts}".strip(), detail, outside)


def _visible(speaks: Speech, count: AudienceCount) -> str:
    if count.network:
        return speaks.gettext("Visible par <strong>toute personne identifiée</strong> d’une instance non bloquée :")
    if count.colleagues_all and not count.partners and not count.guests and not count.everyone_at:
        return speaks.gettext("Visible par <strong>tous les collègues</strong> :")
    text = speaks.ngettext(
        "Visible par <strong>%(n)s personne</strong> :", "Visible par <strong>%(n)s personnes</strong> :", count.people
    )
    return text % {"n": speaks.number(count.people)}


def _short(speaks: Speech, count: AudienceCount) -> list[str]:
    said = []
    if count.colleagues:
        said.append(_inside(speaks, count))
    if count.guests:
        said.append(speaks.ngettext("%(n)s invité", "%(n)s invités", count.guests) % {"n": count.guests})
    said += [_at(speaks, at) for at in (*count.partners, *count.everyone_at)]
    if count.kept_at:
        said.append(speaks.gettext("et les autres membres, chez %(host)s") % {"host": escape(count.kept_at)})
    return said


def _inside(speaks: Speech, count: AudienceCount) -> str:
    if count.followers:
        text = speaks.ngettext("%(n)s personne qui vous suit", "%(n)s personnes qui vous suivent", count.colleagues)
    else:
        text = speaks.ngettext("%(n)s collègue", "%(n)s collègues", count.colleagues)
    return text % {"n": speaks.number(count.colleagues)}


def _at(speaks: Speech, at: At) -> str:
    if at.count is None:
        return speaks.gettext("toute personne de %(host)s") % {"host": escape(at.host)}
    return speaks.gettext("%(n)s chez %(host)s") % {"n": speaks.number(at.count), "host": escape(at.host)}


def parts_of(speaks: Speech, count: AudienceCount) -> list[str]:
    """Each part of an audience in a sentence of its own, safe HTML."""
    said = [f"<strong>{part}</strong>" for part in _short(speaks, count)]
    if count.partners or count.everyone_at:
        said.append(speaks.gettext("Les instances partenaires gardent une copie de ce que lisent leurs membres."))
    if count.network:
        said.append(speaks.gettext("Toute personne identifiée d’une instance non bloquée."))
    if count.public:
        said.append(speaks.gettext("Tout le monde, sans compte."))
    return said


PUBLIC_HEADINGS = {
    "post": N_("Tout le monde peut voir ce message"),
    "file": N_("Tout le monde peut voir ce fichier"),
    "space": N_("Tout le monde peut lire cet espace"),
}
NETWORK_HEADINGS = {
    "post": N_("Toute personne identifiée peut voir ce message"),
    "file": N_("Toute personne identifiée peut voir ce fichier"),
    "space": N_("Toute personne identifiée peut lire cet espace"),
}


def heading_of(speaks: Speech, count: AudienceCount, of: str = "post") -> str:
    """How many see it, in one sentence; `of`: a post, a file or a space."""
    if count.public:
        return speaks.gettext(PUBLIC_HEADINGS[of])
    if count.network:
        return speaks.gettext(NETWORK_HEADINGS[of])
    if of == "space":
        text = speaks.ngettext(
            "%(n)s personne peut lire cet espace", "%(n)s personnes peuvent lire cet espace", count.people
        )
    elif of == "file":
        text = speaks.ngettext(
            "%(n)s personne peut voir ce fichier", "%(n)s personnes peuvent voir ce fichier", count.people
        )
    else:
        text = speaks.ngettext(
            "%(n)s personne peut voir ce message", "%(n)s personnes peuvent voir ce message", count.people
        )
    return text % {"n": speaks.number(count.people)}
