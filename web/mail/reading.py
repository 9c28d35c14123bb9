"""A message that came by mail, as a value: bounded, from one strict address, without quotations and signature.

Only what answers somebody is read: the first text among its parts, else its HTML as text. Files are left alone.
"""

import email
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message

from server.errors import Invalid, TooLarge
from server.limits import MAIL_BYTES, MAIL_PARTS, SOURCE_BYTES
from server.mail_address import is_address
from server.markup import Element, parse, write
from server.refusals import N_
from server.text import clean, plain
from web.mail.quotations import without_quotations

UNREADABLE = N_("Ce courriel n’est pas lisible.")
TOO_BIG = N_("Ce courriel est trop volumineux : au plus %(limit)s Mio.")
NO_SENDER = N_("Ce courriel n’a pas une seule adresse d’expéditeur.")

HEADER_CHARACTERS = 10_000
DEPTH = 10
READ_BYTES = SOURCE_BYTES * 20
"""Of one part: an answer quotes what it answers, and that is cut afterwards."""
FROM = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^"<>@])*<\s*([^<>\s]{3,254})\s*>|\s*([^<>\s"(),;:]{3,254})\s*')
ECHO = ("bulk", "junk", "list", "auto_reply")
QUOTING = ("gmail_quote", "gmail_quote_container", "gmail_attr", "moz-cite-prefix", "yahoo_quoted", "protonmail_quote")
QUOTING_IDS = ("appendonsend", "divRplyFwdMsg", "mail-editor-reference-message-container")


@dataclass(frozen=True, slots=True)
class Incoming:
    """`automatic`: a program wrote it, so nobody is answered. `addressed`: the headers that say where it was sent."""

    sender: str
    addressed: str
    message_id: str
    automatic: bool
    text: str


def read(raw: bytes) -> Incoming:
    """Raises TooLarge or Invalid, each with a sentence."""
    if len(raw) > MAIL_BYTES:
        raise TooLarge(TOO_BIG, params={"limit": MAIL_BYTES >> 20})
    try:
        message = email.message_from_bytes(raw)
        automatic = _is_automatic(message)
        return Incoming(
            sender=_sender(message) if not automatic else "",
            addressed=" ".join(_all(message, name) for name in ("Delivered-To", "X-Original-To", "To", "Cc")),
            message_id=_all(message, "Message-ID").strip(),
            automatic=automatic,
            text=without_quotations(_text(message)) if not automatic else "",
        )
    except (RecursionError, LookupError, ValueError) as error:
        raise Invalid(UNREADABLE, detail=f"{type(error).__name__}") from None


def _all(message: Message, name: str) -> str:
    return " ".join(str(value) for value in message.get_all(name, []))[:HEADER_CHARACTERS]


def _sender(message: Message) -> str:
    """The one strict address in From, in lower case."""
    said = message.get_all("From", [])
    found = FROM.fullmatch(" ".join(str(said[0]).split())) if len(said) == 1 else None
    address = (found[1] or found[2]).lower() if found else ""
    if not is_address(address):
        raise Invalid(NO_SENDER)
    return address


def _is_automatic(message: Message) -> bool:
    """Bounces, out-of-office notes, lists (RFC 3834, RFC 3464)."""
    submitted = _all(message, "Auto-Submitted").strip().lower()
    return (
        (submitted != "" and not submitted.startswith("no"))
        or _all(message, "Return-Path").strip() == "<>"
        or message.get_content_type() == "multipart/report"
        or _all(message, "Precedence").strip().lower() in ECHO
        or any(name in message for name in ("X-Autoreply", "X-Autorespond", "List-Id"))
    )


def _text(message: Message) -> str:
    html = ""
    for part in _parts(message):
        kind = part.get_content_type()
        if kind == "text/plain" and (text := _plain(part)).strip():
            return text
        if kind == "text/html" and not html:
            html = _decoded(part)
    return _of_html(html)


def _parts(message: Message) -> Iterator[Message]:
    """What is not in parts itself and is no file, in order; messages in the message are files too."""
    waiting, seen = [(message, 0)], 0
    while waiting and seen < MAIL_PARTS:
        part, depth = waiting.pop(0)
        seen += 1
        inside = part.get_payload() if part.get_content_maintype() == "multipart" else None
        if isinstance(inside, list):
            waiting[:0] = [(one, depth + 1) for one in inside if isinstance(one, Message) and depth < DEPTH]
        elif part.get_content_disposition() != "attachment" and part.get_filename() is None:
            yield part


def _decoded(part: Message) -> str:
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        return ""
    content = content[:READ_BYTES]
    try:
        text = content.decode(part.get_content_charset() or "utf-8", errors="replace")
    except LookupError:
        text = content.decode("utf-8", errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def _plain(part: Message) -> str:
    """Text, with the lines of `format=flowed` (RFC 3676) put together again."""
    text = _decoded(part)
    if str(part.get_param("format", "")).lower() != "flowed":
        return text
    lines: list[str] = []
    open_line = False
    for line in text.split("\n"):
        quoted, bare = line.startswith(">"), line.removeprefix(" ")
        if open_line and not quoted:
            lines[-1] += bare
        else:
            lines.append(bare)
        open_line = bare.endswith(" ") and bare != "-- " and not quoted
    return "\n".join(lines)


def _of_html(html: str) -> str:
    """The words of somebody's HTML, without the parts that mail programs mark as quoted."""
    root = parse(html)
    _drop_quotations(root)
    return plain(clean(write(root)))


def _drop_quotations(element: Element) -> None:
    kept: list[Element | str] = []
    for child in element.children:
        if isinstance(child, Element):
            if child.attributes.get("id") in QUOTING_IDS:
                break  # what follows is quoted, too
            if child.tag == "blockquote" or any(name in QUOTING for name in child.classes):
                continue
            _drop_quotations(child)
        kept.append(child)
    element.children = kept
