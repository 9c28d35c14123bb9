"""One mail, made while it is sent: what waits, asked again of the policy, for one reader, in their language.

The subject holds no more than the least that any of its notices may carry. Nothing in a header comes from people
but in the one line that the email package encodes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr
from urllib.parse import urlsplit

from server.actions.mails import Claim, keep_reply_address
from server.clock import now_ms
from server.ids import Addresses
from server.mail_tokens import reply_token, stop_token
from server.openness import Notices
from server.queries import mails, notifications
from server.queries.mails import Recipient
from server.refusals import N_
from server.settings import Settings
from web.locale import Speech, choose
from web.mail import wording
from web.mail.wording import Told
from web.mail.writing import Item, Letter, text_of
from web.render import mail

MOST_TOLD = 20
SUBJECT_CHARACTERS = 140
NAME_CHARACTERS = 60
AS_WRITTEN = SMTP.clone(refold_source="none")
"""Lines from people are encoded here: the package's own folding loses spaces between encoded words."""
NEWS = N_("Du nouveau pour vous")
DIGEST = N_("Ce qui vous attend")


@dataclass(frozen=True, slots=True)
class Sealed:
    """A mail as it leaves: to whom, and its bytes."""

    recipient: str
    message: bytes


async def compose(settings: Settings, claim: Claim) -> Sealed | None:
    """The mail of a claim; None when there is nothing that its reader may know of and did not read yet."""
    to = await mails.recipient(claim.account_id)
    if to is None:
        return None
    speaks = choose(to.language, "", settings.default_language)
    found = await notifications.waiting(to.viewer, mail=claim.number, limit=MOST_TOLD + 1)
    if not found:
        return None
    here = Addresses(settings.base_url)
    items = [
        await _item(settings, here, to, wording.told(to.viewer, one, speaks)) for one in reversed(found[:MOST_TOLD])
    ]
    return Sealed(to.address, _message(settings, to, speaks, claim, items, more=len(found) > MOST_TOLD))


async def _item(settings: Settings, here: Addresses, to: Recipient, told: Told) -> Item:
    address = here.base + told.path
    if told.answers is None or settings.mail_replies is None:
        return Item(told, address)
    token = reply_token(settings, to.account_id, told.answers)
    if not await keep_reply_address(to.account_id, told.answers, token):
        return Item(told, address)
    local, _, domain = settings.mail_replies.partition("@")
    return Item(told, address, f"{local}+{token}@{domain}")


def _message(
    settings: Settings, to: Recipient, speaks: Speech, claim: Claim, items: Sequence[Item], *, more: bool
) -> bytes:
    here = Addresses(settings.base_url)
    stop = f"{here.base}/mail/stop/{stop_token(settings, to.account_id, to.address)}"
    message = EmailMessage(AS_WRITTEN)
    message.set_raw("From", formataddr((one_line(settings.name)[:NAME_CHARACTERS], settings.mail_sender)))
    message["To"] = Address(addr_spec=to.address)
    message.set_raw("Subject", encoded("Subject", subject(speaks, to, items)))
    message["Date"] = format_datetime(datetime.fromtimestamp(now_ms() / 1000, UTC))
    message["Message-ID"] = f"<{claim.number}@{urlsplit(here.base).hostname}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message.set_raw("List-Unsubscribe", f"<{stop}>")
    message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message["Content-Language"] = speaks.language
    replies = [item.reply for item in items if item.reply]
    alone = replies[0] if len(items) == 1 and replies else ""
    if alone:
        message["Reply-To"] = Address(addr_spec=alone)
    letter = Letter(to.display_name, settings.name, items, more, alone, to.mails, here.base, stop)
    message.set_content(text_of(letter, speaks), cte="quoted-printable")
    message.add_alternative(mail(speaks, letter=letter), subtype="html", cte="quoted-printable")
    return message.as_bytes()


def subject(speaks: Speech, to: Recipient, items: Sequence[Item]) -> str:
    """One line. It names nothing where a notice may carry no more than that there is something new."""
    if len(items) == 1 and items[0].told.carries > Notices.SOMETHING_NEW:
        line = one_line(items[0].told.sentence)
        return line if len(line) <= SUBJECT_CHARACTERS else line[: SUBJECT_CHARACTERS - 1].rstrip() + "…"
    said = speaks.gettext(DIGEST if to.mails == "daily" else NEWS)
    return f"{said} ({len(items)})" if len(items) > 1 else said


def encoded(name: str, line: str) -> str:
    """A line as a header of ASCII alone (RFC 2047); what somebody wrote so that it looks encoded is shown as it is."""
    plain = line.isascii() and "=?" not in line
    return Header(line, "us-ascii" if plain else "utf-8", header_name=name).encode(linesep="\r\n")


def one_line(text: str) -> str:
    """What somebody called themselves, for a header: no line break, no control, no sign that turns writing around."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
