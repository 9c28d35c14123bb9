"""Untrusted JSON to frozen values: bounded, total, never a KeyError.

A property may be a value, a list or an object wherever ActivityStreams allows it; here it becomes one shape.
What is longer than the limits is refused (R5), what is of the wrong type is as if it were absent.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from federation.errors import Malformed
from federation.vocabulary import NOTES, PUBLIC_NAMES
from server.limits import ATTACHMENTS, CONTENT_BYTES, NAME_BYTES, RECIPIENTS, TAGS, URL_CHARACTERS

FORBIDDEN_KEYS = frozenset({"@graph", "@included", "@reverse", "@nest"})
_REMAPPED = ("id", "type", "actor", "object", "attributedTo", "to", "cc", "content", "as", "@vocab")


@dataclass(frozen=True, slots=True)
class Activity:
    """An activity as it was sent; `object` stays as it came until its handler reads it."""

    id: str
    type: str
    actor: str
    object: Any
    object_id: str
    object_type: str
    to: tuple[str, ...]
    cc: tuple[str, ...]
    audience: str
    target: str
    content: str
    document: dict[str, Any]

    @property
    def public(self) -> bool:
        return bool(PUBLIC_NAMES & {*self.to, *self.cc})


@dataclass(frozen=True, slots=True)
class IncomingFile:
    url: str
    name: str
    media_type: str
    size: int
    description: str
    digest: str


@dataclass(frozen=True, slots=True)
class IncomingNote:
    """A post of somebody elsewhere. `content` is their HTML, not yet cleaned; times in ms since 1970."""

    id: str
    author: str
    content: str
    summary: str
    language: str
    published_at: int | None
    updated_at: int | None
    in_reply_to: str
    audience: str
    to: tuple[str, ...]
    cc: tuple[str, ...]
    mentions: tuple[str, ...]
    files: tuple[IncomingFile, ...]

    @property
    def public(self) -> bool:
        return bool(PUBLIC_NAMES & {*self.to, *self.cc})


@dataclass(frozen=True, slots=True)
class IncomingActor:
    """An actor document. `keys`: (id, owner, kind 'pem' or 'multikey', value)."""

    id: str
    type: str
    name: str
    display_name: str
    summary: str
    inbox: str
    shared_inbox: str
    followers: str
    keys: tuple[tuple[str, str, str, str], ...]
    openness: str
    document: dict[str, Any]


def activity(document: dict[str, Any]) -> Activity:
    """Raises Malformed, naming the property that does not fit."""
    check_context(document)
    inner = document.get("object")
    return Activity(
        id=needed(document, "id"),
        type=type_of(document) or _missing("type"),
        actor=identifier(document.get("actor")) or _missing("actor"),
        object=inner,
        object_id=identifier(first(inner)),
        object_type=type_of(first(inner)),
        to=addresses(document.get("to"), "to"),
        cc=addresses(document.get("cc"), "cc"),
        audience=identifier(first(document.get("audience"))),
        target=identifier(first(document.get("target"))),
        content=text(document.get("content"), "content", 100),
        document=document,
    )


def note(value: Any) -> IncomingNote:
    """Raises Malformed, naming the property that does not fit."""
    if not isinstance(value, dict):
        raise Malformed("“object” must be the whole object here, not its address.")
    if type_of(value) not in NOTES:
        raise Malformed("“object” is of a type that is not kept here.", type_of(value))
    language, content = _content(value)
    return IncomingNote(
        id=needed(value, "id"),
        author=identifier(first(value.get("attributedTo"))) or _missing("attributedTo"),
        content=content,
        summary=text(value.get("summary"), "summary", NAME_BYTES) or text(value.get("name"), "name", NAME_BYTES),
        language=language,
        published_at=moment(value.get("published")),
        updated_at=moment(value.get("updated")),
        in_reply_to=identifier(first(value.get("inReplyTo"))),
        audience=identifier(first(value.get("audience"))),
        to=addresses(value.get("to"), "to"),
        cc=addresses(value.get("cc"), "cc"),
        mentions=tuple(_mentions(value.get("tag"))),
        files=tuple(_files(value.get("attachment"))),
    )


def actor(document: dict[str, Any]) -> IncomingActor:
    """Raises Malformed, naming the property that does not fit."""
    check_context(document)
    uri = needed(document, "id")
    endpoints = document.get("endpoints")
    return IncomingActor(
        id=uri,
        type=type_of(document),
        name=text(document.get("preferredUsername"), "preferredUsername", 128),
        display_name=text(document.get("name"), "name", 200),
        summary=text(document.get("summary"), "summary", CONTENT_BYTES),
        inbox=identifier(document.get("inbox")),
        shared_inbox=identifier(endpoints.get("sharedInbox")) if isinstance(endpoints, dict) else "",
        followers=identifier(document.get("followers")),
        keys=tuple(_keys(document)),
        openness=text(document.get("parvis:openness"), "parvis:openness", 32),
        document=document,
    )


# --- the shapes ----------------------------------------------------------------------------------


def check_context(document: dict[str, Any]) -> None:
    """Refuses a document that hides meaning from those who do not expand it (S1, S4)."""
    if FORBIDDEN_KEYS & document.keys():
        raise Malformed("JSON-LD graph keywords are not read here.")
    for part in many(document.get("@context")):
        if isinstance(part, dict) and any(name in part for name in _REMAPPED if part.get(name) != _PLAIN.get(name)):
            raise Malformed("“@context” gives ActivityStreams terms another meaning.")


_PLAIN: dict[str, Any] = {
    "id": "@id",
    "type": "@type",
    "as": "https://www.w3.org/ns/activitystreams#",
    "@vocab": "_:",
}


def many(value: Any) -> list[Any]:
    """A property as a list, whatever its shape."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def first(value: Any) -> Any:
    items = many(value)
    return items[0] if items else None


def type_of(value: Any) -> str:
    """The type of an object; of several, the first that is a text."""
    if not isinstance(value, dict):
        return ""
    kinds = value.get("type")
    return next((kind for kind in many(kinds) if isinstance(kind, str) and len(kind) <= 100), "")


def identifier(value: Any) -> str:
    """The id that a value is or has; '' when there is none. Raises Malformed when it is too long (R19)."""
    found = value.get("id") if isinstance(value, dict) else value
    if not isinstance(found, str):
        return ""
    if len(found) > min(URL_CHARACTERS, 512):
        raise Malformed("An address is too long.")
    return found


def needed(document: dict[str, Any], name: str) -> str:
    return identifier(document.get(name)) or _missing(name)


def text(value: Any, name: str, most: int) -> str:
    """A text of at most `most` bytes; '' when it is none. Raises Malformed when it is longer (R5)."""
    if not isinstance(value, str):
        return ""
    if len(value) > most or len(value.encode("utf-8", "replace")) > most:
        raise Malformed(f"“{name}” is too long.")
    return value


def addresses(value: Any, name: str) -> tuple[str, ...]:
    items = many(value)
    if len(items) > RECIPIENTS:
        raise Malformed(f"“{name}” has too many recipients.")
    return tuple(found for item in items if (found := identifier(item)))


def moment(value: Any) -> int | None:
    """An xsd:dateTime in ms since 1970; None when it cannot be read."""
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        parsed = datetime.fromisoformat(value.replace("Z", "+00:00"))
        return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def _missing(name: str) -> str:
    raise Malformed(f"“{name}” is missing.")


def _content(value: dict[str, Any]) -> tuple[str, str]:
    """(language, HTML): from `content`, else from the first of `contentMap`."""
    content = text(value.get("content"), "content", CONTENT_BYTES)
    languages = value.get("contentMap")
    if isinstance(languages, dict):
        for language, words in list(languages.items())[:20]:
            said = text(words, "contentMap", CONTENT_BYTES)
            if said and (not content or said == content):
                return str(language)[:16], said
    return "", content


def _bounded(value: Any, most: int, name: str) -> Iterable[dict[str, Any]]:
    items = many(value)
    if len(items) > most:
        raise Malformed(f"“{name}” has too many entries.")
    return (item for item in items if isinstance(item, dict))


def _mentions(value: Any) -> Iterable[str]:
    for tag in _bounded(value, TAGS, "tag"):
        if type_of(tag) == "Mention" and (href := identifier(tag.get("href"))):
            yield href


def _files(value: Any) -> Iterable[IncomingFile]:
    for item in _bounded(value, ATTACHMENTS, "attachment"):
        url = _url(item.get("url"))
        if url:
            description = text(item.get("name"), "name", CONTENT_BYTES)
            size = item.get("size")
            yield IncomingFile(
                url=url,
                name=text(item.get("parvis:fileName"), "parvis:fileName", 255) or url.rsplit("/", 1)[-1][:255],
                media_type=text(item.get("mediaType"), "mediaType", 100) or "application/octet-stream",
                size=size if type(size) is int and 0 <= size < 1 << 40 else 0,
                description=description,
                digest=text(item.get("digestMultibase"), "digestMultibase", 200),
            )


def _url(value: Any) -> str:
    """An address, alone or in a Link."""
    item = first(value)
    found = item.get("href") if isinstance(item, dict) else item
    return found if isinstance(found, str) and len(found) <= URL_CHARACTERS else ""


def _keys(document: dict[str, Any]) -> Iterable[tuple[str, str, str, str]]:
    for key in _bounded(document.get("publicKey"), 10, "publicKey"):
        yield from _key(key, "owner", "publicKeyPem", "pem")
    for key in _bounded(document.get("assertionMethod"), 10, "assertionMethod"):
        yield from _key(key, "controller", "publicKeyMultibase", "multikey")


def _key(key: dict[str, Any], owner: str, value: str, kind: str) -> Iterable[tuple[str, str, str, str]]:
    found = (identifier(key), identifier(key.get(owner)), kind, text(key.get(value), value, 8192))
    if all(found):
        yield found


Reader = Callable[[Any], Any]
