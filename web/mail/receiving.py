"""An answer by mail becomes a post by the same verb as on the page, or goes back with the reason.

Where it was sent says who answers what: a secret address for one person and one post. It counts from that person's own
address only, and only while they may answer: whoever may not any more is told so in words that name nothing.
"""

import re
from dataclasses import dataclass
from enum import IntEnum

from server import attempts
from server.actions import mails, posts
from server.actions.posts import Draft
from server.attempts import Bucket, TooManyAttempts
from server.credentials import token_hash
from server.errors import Conflict, DomainError, Forbidden, Invalid, NotFound, TooLarge, Unavailable
from server.ids import Addresses
from server.mail_tokens import CHARACTERS
from server.queries import mails as addresses
from server.queries.mails import ReplyAddress
from server.refusals import N_
from server.settings import Settings
from web.mail.reading import Incoming, read

NO_ANSWERS = N_("Cette instance ne reçoit pas de courriel : « mail_replies » n’est pas réglé.")
NOBODY = N_("Cette adresse n’existe pas.")
OVER = N_(
    "Votre réponse n’est pas publiée : cette adresse de réponse ne sert plus. "
    "Ouvrez la conversation dans votre navigateur."
)
NOT_YOURS = N_("Votre réponse n’est pas publiée : elle ne vient pas de l’adresse à laquelle nous avions écrit.")
GONE = N_(
    "Votre réponse n’est pas publiée : ce message n’est plus là pour vous. "
    "Il a été retiré, ou l’espace où il se trouve ne vous est plus ouvert."
)
NOT_PUBLISHED = N_("Votre réponse n’est pas publiée.")
NOTHING_WRITTEN = N_("Votre réponse est vide : nous n’y avons rien trouvé au-dessus de ce qu’elle cite.")
LATER = N_("Votre réponse attend : réessayez dans un moment.")
MOST_ANSWERS = 40
"""Of one person, in a quarter of an hour."""


class Exit(IntEnum):
    """What the mail server makes of it (sysexits.h)."""

    TAKEN = 0  # or left aside without a word, as what a program wrote is
    UNREADABLE = 65
    NOBODY = 67
    LATER = 75
    REFUSED = 77


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a message, and what its sender is told; '' when nothing is to be said."""

    code: Exit
    error: DomainError | None = None
    language: str = ""
    from_the_verb: bool = False  # what a page would say, so it does not say that it is about an answer


async def receive(
    settings: Settings, here: Addresses, raw: bytes, recipient: str = "", sender: str | None = None
) -> Outcome:
    """Takes one message (RFC 5322). `recipient`, `sender`: of its envelope, where the mail server says them."""
    if settings.mail_replies is None:
        return Outcome(Exit.LATER, Unavailable(NO_ANSWERS))
    try:
        message = read(raw)
    except (Invalid, TooLarge) as error:
        return Outcome(Exit.UNREADABLE, error)
    if message.automatic or (sender is not None and sender.strip().lower() in ("", "<>", "mailer-daemon")):
        return Outcome(Exit.TAKEN)
    token = token_in(recipient or message.addressed, settings.mail_replies)
    try:
        found = await addresses.reply_address(token) if token else None
        if found is None:
            known = bool(token) and await addresses.was_reply_address(token)
            return Outcome(Exit.REFUSED, Forbidden(OVER)) if known else Outcome(Exit.NOBODY, NotFound(NOBODY))
        if message.sender != found.address:
            return Outcome(Exit.REFUSED, Forbidden(NOT_YOURS))
        return await _answer(found, message, raw, here)
    except (Unavailable, Conflict):
        return Outcome(Exit.LATER, Unavailable(LATER))


def token_in(text: str, replies: str) -> str:
    """The secret part of an address of ours among others; '' when there is none, or more than one."""
    local, _, domain = replies.partition("@")
    wanted = rf"(?<![\w.+-]){re.escape(local)}\+([a-z2-7]{{{CHARACTERS}}})@{re.escape(domain)}(?![\w.-])"
    found = set(re.findall(wanted, text.lower()))
    return str(found.pop()) if len(found) == 1 else ""


async def _answer(found: ReplyAddress, message: Incoming, raw: bytes, here: Addresses) -> Outcome:
    if not message.text:
        return Outcome(Exit.UNREADABLE, Invalid(NOTHING_WRITTEN), found.language)
    name = message.message_id.encode() if message.message_id else raw
    key = f"mail:{found.post_id}:{token_hash(name.decode(errors='replace'))}"
    draft = Draft(message.text, reply_to_id=found.post_id, client_key=key)
    try:
        await attempts.count([Bucket(f"mail:{found.viewer.account_id}", MOST_ANSWERS)])
        await posts.publish(found.viewer, draft, here)
    except TooManyAttempts as error:
        return Outcome(Exit.LATER, error, found.language)
    except NotFound:
        await mails.end_reply_address(found.id)
        return Outcome(Exit.REFUSED, Forbidden(GONE), found.language)
    except Forbidden as error:
        await mails.end_reply_address(found.id)
        return Outcome(Exit.REFUSED, error, found.language, from_the_verb=True)
    except (Invalid, TooLarge) as error:
        return Outcome(Exit.UNREADABLE, error, found.language, from_the_verb=True)
    return Outcome(Exit.TAKEN)
