"""What a notice says in a mail: a sentence in the reader's language, and as much of the post as may leave its page."""

from dataclasses import dataclass

from server.openness import Notices, Visibility
from server.policy import Act, carried
from server.queries.notifications import Waiting
from server.queries.posts import PostCard
from server.refusals import N_
from server.text import excerpt, plain
from server.viewer import Guest, Resident
from web.locale import Speech

EXCERPT_CHARACTERS = 140
SOMEBODY = N_("Quelqu’un")

QUOTED = N_("« %(words)s »")
SOMETHING = N_("Quelque chose vous attend.")
NEW_HERE = N_("Du nouveau pour vous.")
NEW_IN = N_("Du nouveau pour vous dans l’espace « %(space)s ».")

SENTENCES = {
    "reply": (N_("%(who)s vous a répondu"), N_("%(who)s vous a répondu dans l’espace « %(space)s »")),
    "mention": (N_("%(who)s a parlé de vous"), N_("%(who)s a parlé de vous dans l’espace « %(space)s »")),
    "reaction": (
        N_("%(who)s a réagi à votre message"),
        N_("%(who)s a réagi à votre message dans l’espace « %(space)s »"),
    ),
    "poll": (
        N_("Un sondage que vous avez lancé ou auquel vous avez voté est terminé"),
        N_("Un sondage que vous avez lancé ou auquel vous avez voté est terminé dans l’espace « %(space)s »"),
    ),
    "follow": (N_("%(who)s vous suit"), ""),
    "invitation": ("", N_("%(who)s vous invite dans l’espace « %(space)s »")),
    "member": ("", N_("%(who)s vous a ajouté à l’espace « %(space)s »")),
    "request": ("", N_("%(who)s demande à rejoindre l’espace « %(space)s »")),
    "declined": (
        N_("Votre demande d’entrer dans l’espace d’une autre instance a été déclinée"),
        N_("Votre demande d’entrer dans l’espace « %(space)s » a été déclinée"),
    ),
    "held": ("", N_("%(who)s a écrit un message qui attend votre validation dans l’espace « %(space)s »")),
    "refused": ("", N_("L’espace « %(space)s » n’a pas publié votre message")),
    "glass": (
        "",
        N_("%(who)s lit exceptionnellement l’espace « %(space)s », avec l’accord d’une seconde personne"),
    ),
    "glass_asked": (N_("%(who)s demande à lire un espace, exceptionnellement"), ""),
    "approval": (
        N_("%(who)s demande de valider le changement d’ouverture d’un espace dont vous n’êtes pas membre"),
        N_("%(who)s demande de valider un changement d’ouverture de l’espace « %(space)s »"),
    ),
    "review": ("", N_("Il est temps de revoir l’ouverture de l’espace « %(space)s »")),
    "openness": ("", N_("L’ouverture a changé dans l’espace « %(space)s »")),
    "link": (N_("Une liaison avec une autre instance demande votre attention"), ""),
    "recall": (
        N_("Une instance n’a pas effacé ce que la vôtre lui redemande"),
        N_("Une instance n’a pas effacé ce que la vôtre lui redemande de l’espace « %(space)s »"),
    ),
}
"""By kind: without a space, and in one."""
ABOUT_OPENNESS = {
    "refused": N_("%(who)s n’a pas validé votre demande d’ouverture de l’espace « %(space)s »"),
    "stale": N_(
        "L’ouverture prévue n’a pas eu lieu, parce que tout avait changé entre-temps dans l’espace « %(space)s »"
    ),
    "closes_at": N_("La date de fin est arrivée, et l’ouverture s’est resserrée, dans l’espace « %(space)s »"),
    "past": N_("Vos messages plus anciens peuvent être lus par d’autres personnes dans l’espace « %(space)s »"),
    "review": N_("Personne n’a répondu à la revue, et l’ouverture s’est resserrée, dans l’espace « %(space)s »"),
}


@dataclass(frozen=True, slots=True)
class Told:
    """One notice in a mail. `carries`: how much of it may stand there; `html` is safe, '' where only `text` is."""

    sentence: str
    carries: Notices
    path: str  # of the page where the rest is
    text: str = ""
    html: str = ""
    answers: int | None = None  # the post that an answer by mail would answer

    @property
    def has_conversation(self) -> bool:
        return bool(self.text) and self.path.startswith("/posts/")


def told(viewer: Resident, waiting: Waiting, speaks: Speech) -> Told:
    """What a mail says of one notice to this viewer, who may know of it."""
    post = waiting.post
    if post is None:
        carries = _of_space(waiting)
        words = _why(waiting, speaks) if carries >= Notices.EXCERPT else ""
        return Told(_sentence(waiting, speaks), carries, _place(waiting), words)
    carries = carried(viewer, post.facts, post.standing)
    path = f"/posts/{post.id}"
    if carries is Notices.NOTHING:
        return Told(speaks.gettext(SOMETHING), carries, "/notifications")
    if carries is Notices.SOMETHING_NEW:
        return Told(_new(post, speaks), carries, path)
    whole = carries is Notices.TEXT
    said = plain(post.html) if whole else excerpt(post.html, EXCERPT_CHARACTERS)
    return Told(
        sentence=_sentence(waiting, speaks),
        carries=carries,
        path=path,
        text="\n\n".join(filter(None, (_why(waiting, speaks), said))),
        html=post.html if whole and not waiting.words else "",
        answers=post.id if _may_answer(viewer, post) else None,
    )


def _may_answer(viewer: Resident, post: PostCard) -> bool:
    if post.facts.held or post.facts.author_id == viewer.actor_id:
        return False
    if isinstance(viewer, Guest) and post.space is None and post.visibility != Visibility.DIRECT:
        return False
    return bool(post.may(viewer, Act.REPLY))


def _new(post: PostCard, speaks: Speech) -> str:
    if post.space is None:
        return speaks.gettext(NEW_HERE)
    return speaks.gettext(NEW_IN) % {"space": post.space.name}


def _sentence(waiting: Waiting, speaks: Speech) -> str:
    """Without a full stop: it may stand as a subject."""
    space = waiting.space.name if waiting.space else ""
    alone, within = SENTENCES.get(waiting.kind, (SOMETHING, SOMETHING))
    if waiting.kind == "openness" and waiting.about in ABOUT_OPENNESS:
        within = ABOUT_OPENNESS[waiting.about]
    chosen = (within if space else alone) or SOMETHING
    who = waiting.by.display_name or waiting.by.name if waiting.by else speaks.gettext(SOMEBODY)
    said = speaks.gettext(chosen)
    return (said % {"who": who, "space": space} if "%(" in chosen else said).removesuffix(".")


def _why(waiting: Waiting, speaks: Speech) -> str:
    """What somebody said with it, such as why a post was not published."""
    return speaks.gettext(QUOTED) % {"words": waiting.words} if waiting.words else ""


def _of_space(waiting: Waiting) -> Notices:
    """How much a notice without a post may say in a subject: it holds a space's name, and nothing written there."""
    return waiting.space.rights().notices if waiting.space else Notices.TEXT


def _place(waiting: Waiting) -> str:
    """Where somebody decides on it; notices lead there."""
    if waiting.past and waiting.space:
        return f"/spaces/{waiting.space.slug}"  # it may be elsewhere
    if waiting.kind in ("approval", "openness", "review") and waiting.space:
        return f"/spaces/{waiting.space.slug}/openness"
    if waiting.kind == "member" and waiting.space:
        return f"/spaces/{waiting.space.slug}"
    return "/notifications"
