"""Untrusted JSON to frozen values: bounded, total, never a KeyError.

A property may be a value, a list or an object wherever ActivityStreams allows it; here it becomes one shape.
What is longer than the limits is refused (R5), what is of the wrong type is as if it were absent.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from federation.errors import Malformed
from federation.json_reading import JsonLimits, parse_json
from federation.vocabulary import ACTIVITY_STREAMS, CONSENT, CONTEXT, NOTES, PUBLIC_NAMES, RECALL
from server.limits import (
    ATTACHMENTS,
    CONTENT_BYTES,
    DOCUMENT_BYTES,
    DOCUMENT_DEPTH,
    NAME_BYTES,
    RECIPIENTS,
    SUMMARY_BYTES,
    TAGS,
    URL_CHARACTERS,
)
from server.queries.former import Moves

FORBIDDEN_KEYS = frozenset({"@graph", "@included", "@reverse", "@nest", "@import"})
AS = f"{ACTIVITY_STREAMS}#"
_KEYWORDS = {"id": "@id", "type": "@type"}
_READ_HERE = frozenset(
    "actor object target result attributedTo to cc bto bcc audience content contentMap summary name inReplyTo tag"
    " attachment href mediaType published updated inbox followers endpoints sharedInbox preferredUsername oneOf anyOf"
    " endTime closed replies totalItems".split()
)
"""ActivityStreams terms that decide something here: a context that gives one of them another meaning is refused."""
_SAME_ELSEWHERE = {
    "inbox": frozenset({"http://www.w3.org/ns/ldp#inbox", "ldp:inbox"}),
    "contentMap": frozenset({"as:content", f"{AS}content"}),
}


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
    public: bool
    document: dict[str, Any]
    as_came: dict[str, Any]
    """What was signed. `document` is the same, except that who moved meanwhile is named by where they are now."""


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
    public: bool
    mentions: tuple[str, ...]
    files: tuple[IncomingFile, ...]
    byline: str = ""  # as whom a space speaks
    document: dict[str, Any] = field(default_factory=dict)  # as it came: what it asks stays until its handler reads it


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
    peering: str
    followers: str
    keys: tuple[tuple[str, str, str, str], ...]
    openness: str
    document: dict[str, Any]


LONGEST_ID = min(URL_CHARACTERS, 512)
LIMITS = JsonLimits(DOCUMENT_BYTES, DOCUMENT_DEPTH)
KEPT = 512
LONGEST_KEPT = 16_384
"""Characters of a body that is kept as it was read, from its arrival to its effect: nobody changes it."""


def activity_in(body: str) -> Activity:
    """The activity that a body is. Raises Malformed."""
    return _kept_activity(body) if len(body) <= LONGEST_KEPT else activity(parse_json(body.encode(), LIMITS))


@lru_cache(maxsize=KEPT)
def _kept_activity(body: str) -> Activity:
    return activity(parse_json(body.encode(), LIMITS))


def activity(document: dict[str, Any]) -> Activity:
    """Raises Malformed, naming the property that does not fit."""
    check_context(document)
    return _activity(document)


def inner_activity(around: Activity) -> Activity:
    """The activity that is the object of another one, which was read as a whole. Raises Malformed."""
    if not isinstance(around.object, dict):
        raise Malformed("“object” must be the whole object here, not its address.")
    came = _only(around.as_came.get("object"), "object")
    return _activity(around.object, came if isinstance(came, dict) else None)


def as_now(said: Activity, known: Moves) -> Activity:
    """The same activity with everybody named by where they are now. Raises Malformed."""
    document = known.in_document(said.document)
    return said if document == said.document else _activity(document, said.as_came)


def _activity(document: dict[str, Any], as_came: dict[str, Any] | None = None) -> Activity:
    inner = _only(document.get("object"), "object")
    to, cc = _recipients(document)
    return Activity(
        id=needed(document, "id"),
        type=type_of(document) or _missing("type"),
        actor=identifier(document.get("actor")) or _missing("actor"),
        object=inner,
        object_id=identifier(inner),
        object_type=type_of(inner),
        to=to,
        cc=cc,
        audience=identifier(first(document.get("audience"))),
        target=identifier(_only(document.get("target"), "target")),
        content=text(document.get("content"), "content", CONTENT_BYTES),
        public=_is_public(to, cc, document),
        document=document,
        as_came=document if as_came is None else as_came,
    )


def note(value: Any) -> IncomingNote:
    """Raises Malformed, naming the property that does not fit."""
    if not isinstance(value, dict):
        raise Malformed("“object” must be the whole object here, not its address.")
    if type_of(value) not in NOTES:
        raise Malformed("“object” is of a type that is not kept here.", type_of(value))
    language, content = _content(value)
    to, cc = _recipients(value)
    return IncomingNote(
        id=needed(value, "id"),
        author=identifier(first(value.get("attributedTo"))) or _missing("attributedTo"),
        content=content,
        summary=text(value.get("summary"), "summary", SUMMARY_BYTES) or text(value.get("name"), "name", NAME_BYTES),
        language=language,
        published_at=moment(value.get("published")),
        updated_at=moment(value.get("updated")),
        in_reply_to=identifier(first(value.get("inReplyTo"))),
        audience=identifier(first(value.get("audience"))),
        to=to,
        cc=cc,
        public=_is_public(to, cc, value),
        mentions=tuple(_mentions(value.get("tag"))),
        files=tuple(_files(value.get("attachment"))),
        byline=text(value.get("parvis:byline"), "parvis:byline", NAME_BYTES),
        document=value,
    )


def actor(document: dict[str, Any]) -> IncomingActor:
    """Raises Malformed, naming the property that does not fit."""
    check_context(document)
    uri = needed(document, "id")
    endpoints = document.get("endpoints")
    return IncomingActor(
        id=uri,
        type=type_of(document),
        name=_handle(document.get("preferredUsername")),
        display_name=text(document.get("name"), "name", NAME_BYTES),
        summary=text(document.get("summary"), "summary", CONTENT_BYTES),
        inbox=identifier(document.get("inbox")),
        shared_inbox=identifier(endpoints.get("sharedInbox")) if isinstance(endpoints, dict) else "",
        peering=identifier(endpoints.get("parvis:peering")) if isinstance(endpoints, dict) else "",
        followers=identifier(document.get("followers")),
        keys=tuple(_keys(document)),
        openness=text(document.get("parvis:openness"), "parvis:openness", 32),
        document=document,
    )


# --- the shapes ----------------------------------------------------------------------------------


def check_context(document: dict[str, Any]) -> None:
    """Refuses a document that says one thing to us and another to those who expand JSON-LD (S1, S4, S5).

    At any depth: graph keywords, and an inline context that gives a term read here another meaning or a keyword
    another name. Contexts by address are not fetched; what they could say is not believed by anybody here.
    """
    nodes: list[Any] = [document]
    for node in nodes:
        children: Any = node
        if isinstance(node, dict):
            if not FORBIDDEN_KEYS.isdisjoint(node):
                raise Malformed("JSON-LD graph keywords are not read here.")
            if "@context" in node:
                _check_parts(node["@context"])
                children = [value for name, value in node.items() if name != "@context"]
            else:
                children = node.values()
        nodes += [value for value in children if isinstance(value, (dict, list))]


def _check_parts(context: Any) -> None:
    if context == CONTEXT:
        return  # our own, which nearly everything carries that a linked instance says
    for part in many(context):
        if isinstance(part, dict):
            _check_terms(part)


def _check_terms(context: dict[str, Any]) -> None:
    for term, definition in context.items():
        scoped = definition.get("@context") if isinstance(definition, dict) else None
        for part in many(scoped):
            if isinstance(part, dict):
                _check_terms(part)
        if not _keeps_meaning(term, definition):
            raise Malformed("“@context” gives ActivityStreams terms another meaning.")


def _keeps_meaning(term: str, definition: Any) -> bool:
    if isinstance(definition, dict) and FORBIDDEN_KEYS & definition.keys():
        return False
    meaning = definition.get("@id", f"as:{term}") if isinstance(definition, dict) else definition
    if term in _KEYWORDS:
        return bool(meaning == _KEYWORDS[term])
    if term == "as":
        return bool(meaning == AS)
    if term == "@vocab":
        return meaning in (AS, "_:", "as:")
    if term in _READ_HERE:
        return meaning in (f"as:{term}", f"{AS}{term}") or meaning in _SAME_ELSEWHERE.get(term, ())
    if term.startswith("@"):
        return term in ("@language", "@version", "@base", "@protected", "@direction")
    return not (isinstance(meaning, str) and meaning.startswith("@") and meaning != "@value")


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


def is_recall(said: Activity) -> bool:
    """Whether an activity takes back what its host sent: a Delete that is a Recall too."""
    return said.type == "Delete" and RECALL in many(said.document.get("type"))


def is_consent(said: Activity) -> bool:
    """Whether an instance says if its people's words may be opened to more: an Update of the link that names it."""
    return said.type == "Update" and isinstance(said.object, dict) and CONSENT in said.object


def identifier(value: Any) -> str:
    """The id that a value is or has; '' when there is none. Raises Malformed when it is too long (R19)."""
    found = value.get("id") if isinstance(value, dict) else value
    if not isinstance(found, str):
        return ""
    if len(found) > LONGEST_ID:
        raise Malformed("An address is too long.")
    if not found.isprintable():
        raise Malformed("An address contains a character that no address has.")
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


def _recipients(document: dict[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """`to` and `cc`. Raises Malformed when both together are too many (R5)."""
    to, cc = many(document.get("to")), many(document.get("cc"))
    if len(to) + len(cc) > RECIPIENTS:
        raise Malformed("“to” and “cc” have too many recipients.")
    return _addresses(to), _addresses(cc)


def _addresses(items: list[Any]) -> tuple[str, ...]:
    return tuple(found for item in items if (found := identifier(item)))


def _is_public(to: tuple[str, ...], cc: tuple[str, ...], document: dict[str, Any]) -> bool:
    """Whether anything that addresses it names the public, however it is written."""
    if not PUBLIC_NAMES.isdisjoint(to) or not PUBLIC_NAMES.isdisjoint(cc):
        return True
    others = (item for name in ("bto", "bcc", "audience") for item in many(document.get(name)))
    return any(identifier(item) in PUBLIC_NAMES for item in others)


def _only(value: Any, name: str) -> Any:
    """A value, or the only one of a list: what is checked is what takes effect (O28)."""
    items = many(value)
    if len(items) > 1:
        raise Malformed(f"“{name}” must be one.")
    return items[0] if items else None


def _handle(value: Any) -> str:
    """A name that can stand in a handle and in an address."""
    name = text(value, "preferredUsername", 128)
    if not name.isprintable() or any(character in " @/\\?#<>\"'&" for character in name):
        raise Malformed("“preferredUsername” contains a character that no handle has.")
    return name


LAST_MS = 253_402_300_799_000
"""The last second of the year 9999 in UTC: what is later cannot be written as a date again."""


def moment(value: Any) -> int | None:
    """An xsd:dateTime in ms since 1970; None when it cannot be read, or is not between 1970 and the year 9999."""
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        parsed = datetime.fromisoformat(value.replace("Z", "+00:00"))
        at = int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
    return at if 0 <= at <= LAST_MS else None


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
            called = text(item.get("parvis:fileName"), "parvis:fileName", 255)
            description = text(item.get("name"), "name", CONTENT_BYTES)
            size = item.get("size")
            yield IncomingFile(
                url=url,
                name=called or url.rsplit("/", 1)[-1][:255],
                media_type=text(item.get("mediaType"), "mediaType", 100) or "application/octet-stream",
                size=size if type(size) is int and 0 <= size < 1 << 40 else 0,
                description="" if description == called else description,
                digest=text(item.get("digestMultibase"), "digestMultibase", 200),
            )


def _url(value: Any) -> str:
    """An address, alone or in a Link."""
    item = first(value)
    found = item.get("href") if isinstance(item, dict) else item
    if not isinstance(found, str) or len(found) > URL_CHARACTERS or not found.isprintable():
        return ""
    return found if found.startswith(("https://", "http://")) else ""


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
