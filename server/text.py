"""People's text to safe HTML, and the mentions found on the way; strangers' HTML to safe HTML.

Ours is a subset of Markdown: paragraphs, emphasis, lists, links, code, quotes. Both kinds end in the same last
step, `sanitise`: a bounded tree (server.markup), honest links, then nh3. Nothing that was not through it is shown.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from html import unescape
from typing import Any
from urllib.parse import urlsplit

import nh3
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from server.errors import TooLarge
from server.limits import CONTENT_BYTES, DOCUMENT_BYTES, HTML_DEPTH, SOURCE_BYTES, TAGS, URL_CHARACTERS
from server.markup import BLOCKS, Element, parse, write
from server.markup import TAGS as ELEMENTS

TOO_LONG = "Ce message est trop long : il dépasse %(limit)s octets."
TOO_TANGLED = "Ce message a trop de niveaux ou d’éléments : simplifiez sa mise en forme."

LINK_REL = "nofollow noopener noreferrer ugc"
_BRACKETS = 1_000  # each may begin a link, and costs markdown-it 50 µs to find out
_CLASSES = {"a": {"mention", "hashtag", "u-url"}, "span": {"h-card", "mention", "invisible", "ellipsis"}}
_AROUND_BLOCKS = ("", "ul", "ol", "blockquote")
_SCHEMES = {"http", "https", "mailto"}
_HANDLE = re.compile(
    r"(?<![\w@/.])@([a-z0-9_][a-z0-9_.-]{0,63})"
    r"(?:@((?:[a-z0-9-]{1,63}\.){0,8}[a-z0-9-]{1,63}|\[[0-9a-f:.]{2,45}\])(:[0-9]{1,5})?)?",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"://[a-z0-9\[][^\s<>\"]{0,2048}+", re.IGNORECASE)
_SCHEME = re.compile(r"(?<![^\W_])https?\Z", re.IGNORECASE)
_ANY_TAG = re.compile(r'</?([a-z0-9]++)(?:[^>"]|"[^"]*")*+>')
_SENTENCE = ".,;:!?'*_~»”’…"
_LOOKS_LIKE_ADDRESS = re.compile(r"(?:https?://)?((?:[\w-]{1,63}\.){1,8}[^\W\d_][\w-]{1,62})(?::\d{1,5})?(?=[/?#\s]|$)")


@dataclass(frozen=True, slots=True)
class Handle:
    """Who is named: a local name, and the host (with its port) as written, or '' for our own instance."""

    name: str
    host: str = ""

    def __str__(self) -> str:
        return f"{self.name}@{self.host}" if self.host else self.name


@dataclass(frozen=True, slots=True)
class MentionTarget:
    """Somebody who may be named: the actor's id here, and where the link leads."""

    actor_id: int
    url: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """Safe HTML, the ids of the actors named in it (each once, in order), and its plain text."""

    html: str
    mentions: tuple[int, ...]
    plain: str


@dataclass(frozen=True, slots=True)
class Sanitised:
    """Safe HTML. `fault` says in English, for the log, why nothing is left; '' when nothing went wrong."""

    html: str
    fault: str = ""


def one_line(text: str) -> bool:
    """Whether a name may stand so: printable characters on one line, with the joiners that emoji and some scripts are
    written with (U+200C, U+200D), and nothing that turns or hides what stands around it.
    """
    bare = text.replace("\u200c", "").replace("\u200d", "")
    return bool(bare.strip()) and bare.isprintable()


def render(source: str, resolve: Mapping[str, MentionTarget]) -> Rendered:
    """What one of our people typed, as safe HTML.

    `resolve` is keyed by str(Handle); who is not in it stays plain text, and so tells nobody anything (RR7).
    Raises TooLarge when the source, or what it becomes, is over the limits.
    """
    if len(source.encode(errors="replace")) > SOURCE_BYTES:
        raise TooLarge(TOO_LONG, params={"limit": SOURCE_BYTES})
    if source.count("[") > _BRACKETS:
        raise TooLarge(TOO_TANGLED, detail="brackets")
    found: dict[int, None] = {}
    html = _markdown().render(source, {"resolve": resolve, "named": {}, "found": found})
    safe = sanitise(html)
    if safe.fault:
        raise TooLarge(TOO_TANGLED, detail=safe.fault)
    if len(safe.html.encode()) > CONTENT_BYTES:
        raise TooLarge(TOO_LONG, params={"limit": CONTENT_BYTES})
    return Rendered(safe.html, tuple(found), plain(safe.html))


def find_mentions(source: str) -> list[Handle]:
    """Whom a source names, each once, in order; at most TAGS of them, none in code or in addresses."""
    if "@" not in source and "&" not in source:  # an entity may be one: &commat;
        return []
    if len(source.encode(errors="replace")) > SOURCE_BYTES or source.count("[") > _BRACKETS:
        return []
    env: dict[str, dict[Any, Any]] = {"resolve": {}, "named": {}, "found": {}}
    _markdown().parse(source, env)
    return list(env["named"])[:TAGS]


def clean(html: str) -> str:
    """A stranger's HTML as safe HTML; '' when it cannot be made safe. Never raises (H4)."""
    return sanitise(html).html


def sanitise(html: str) -> Sanitised:
    """Like `clean`, and says why nothing is left.

    Whatever goes wrong inside empties this one body and nothing else: a page that shows it still answers 200 (H4,
    CVE-2026-50129). nh3 reports a fault of its own as PanicException, which is no Exception.
    """
    if len(html) > DOCUMENT_BYTES:
        return Sanitised("", "longer than a document may be")
    try:
        root = parse(html)
        _settle(root)
        return Sanitised(_cleaner().clean(write(root)).strip())
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        return Sanitised("", f"{type(error).__name__}: {error}"[:300])


def plain(html: str) -> str:
    """The words of safe HTML: blocks on lines of their own, entries of lists behind a dash."""
    try:
        text = "".join(_words(parse(html)))
    except ValueError:
        return ""
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"\v ?", "\n", text)).strip()


def words(safe_html: str) -> str:
    """The words of safe HTML one after the other, for search: nothing is parsed, so nothing else is safe to give."""
    return unescape(_ANY_TAG.sub(_between, safe_html))


def _between(tag: re.Match[str]) -> str:
    return " " if tag[1] == "br" or tag[1] in BLOCKS else ""


def excerpt(html: str, length: int) -> str:
    """The first words of safe HTML on one line, at most `length` characters with the ellipsis."""
    line = " ".join(plain(html).split())
    if len(line) <= length:
        return line
    cut = line[: max(length - 1, 0)]
    space = cut.rfind(" ")
    return (cut[:space] if space > length // 2 else cut).rstrip() + "…"


@cache
def _cleaner() -> nh3.Cleaner:
    return nh3.Cleaner(
        tags=set(ELEMENTS),
        clean_content_tags={"script", "style"},
        attributes={"a": {"href"}, "ol": {"start"}},
        allowed_classes=_CLASSES,
        url_schemes=_SCHEMES,
        url_relative="deny",
        link_rel=LINK_REL,
    )


@cache
def _markdown() -> MarkdownIt:
    markdown = MarkdownIt("zero", {"html": False, "breaks": True, "maxNesting": HTML_DEPTH // 2})
    markdown.enable(["blockquote", "code", "fence", "list", "autolink", "backticks", "emphasis", "strikethrough"])
    markdown.enable(["entity", "escape", "link", "newline"])
    markdown.inline.ruler.after("text", "address", _address_rule)
    markdown.core.ruler.after("inline", "mention", _mention_rule)
    markdown.add_render_rule("mention", _render_mention)
    return markdown


def _address_rule(state: StateInline, silent: bool) -> bool:
    """Makes a bare http(s) address a link. linkify-it takes the square of the length for some texts (R7)."""
    match = _ADDRESS.match(state.src, state.pos)
    if match is None or state.linkLevel > 0:
        return False
    before = _SCHEME.search(state.pending[-6:])
    if before is None:
        return False
    rest = _without_end_of_sentence(match[0])
    address = before[0] + rest
    if len(address) > URL_CHARACTERS:
        return False
    if not silent:
        state.pending = state.pending[: -len(before[0])]
        state.push("link_open", "a", 1).attrs = {"href": state.md.normalizeLink(address)}
        state.push("text", "", 0).content = address
        state.push("link_close", "a", -1)
    state.pos += len(rest)
    return True


def _without_end_of_sentence(address: str) -> str:
    """Leaves out what belongs to the sentence around: full stops, closing brackets that nothing opened."""
    while address:
        last = address[-1]
        opening = {")": "(", "]": "["}.get(last)
        if last not in _SENTENCE and (opening is None or address.count(last) <= address.count(opening)):
            break
        address = address[:-1]
    return address


def _mention_rule(state: StateCore) -> None:
    """Replaces handles that can be resolved by mention tokens, outside links and code."""
    for block in state.tokens:
        named = {id(token) for token in _outside_links(block.children or [])}
        if named and block.children:
            block.children = [
                part
                for token in block.children
                for part in (_split(token, state.env) if id(token) in named else [token])
            ]


def _outside_links(tokens: list[Token]) -> Iterator[Token]:
    depth = 0
    for token in tokens:
        depth += token.nesting if token.type in ("link_open", "link_close") else 0
        if token.type == "text" and depth == 0 and "@" in token.content:
            yield token


def _handles(text: str) -> Iterator[tuple[Handle, int, int]]:
    """Each handle in a text with its place. A full stop at the end is the sentence's."""
    for match in _HANDLE.finditer(text):
        name, host, port = match[1].lower(), (match[2] or "").lower(), match[3] or ""
        kept = host or name
        less = 0 if port else len(kept) - len(kept.rstrip(".-"))
        name, host = (name, host[: len(host) - less]) if host else (name[: len(name) - less], "")
        yield Handle(name, f"{host}{port}" if host else ""), match.start(), match.end() - less


def _split(token: Token, env: Mapping[str, Any]) -> list[Token]:
    parts: list[Token] = []
    written = 0
    for handle, start, end in _handles(token.content):
        env["named"].setdefault(handle)
        target = env["resolve"].get(str(handle))
        if target is None:
            continue
        env["found"].setdefault(target.actor_id)
        parts.append(Token("text", "", 0, content=token.content[written:start]))
        parts.append(Token("mention", "", 0, content=handle.name, attrs={"href": target.url}))
        written = end
    return [*parts, Token("text", "", 0, content=token.content[written:])]


def _render_mention(_: object, tokens: list[Token], index: int, options: object, env: object) -> str:
    token = tokens[index]
    link = Element("a", {"href": str(token.attrs["href"]), "class": "u-url mention"}, [])
    link.children = ["@", Element("span", {}, [token.content])]
    return write(Element("span", {"class": "h-card"}, [link]))


def _settle(element: Element) -> None:
    """Links that lead nowhere become text, hidden parts are shown unless they hide nothing but the known (H3)."""
    kept: list[Element | str] = []
    for child in element.children:
        if isinstance(child, str):
            kept.append(child)
        elif child.tag == "a":
            kept.extend(_honest(child))
        else:
            _settle(child)
            kept.extend([child] if _shown(child) else child.children)
    element.children = kept


def _shown(element: Element) -> bool:
    return element.tag != "span" or not {"invisible", "ellipsis"} & set(element.classes)


def _honest(link: Element) -> list[Element | str]:
    """The link whose words, hidden ones too, do not claim another address than its own."""
    address = re.sub(r"[\s\x00-\x1f]", "", link.attributes.get("href", ""))
    host = _host(address)
    if host is None or len(address) > URL_CHARACTERS:
        _settle(link)
        return link.children
    link.attributes["href"] = address
    if _abridged(link, address, host):
        return [link]
    _settle(link)
    claimed = _LOOKS_LIKE_ADDRESS.match(link.text().strip())
    if host and claimed and claimed[1].lower().removeprefix("www.") != host.removeprefix("www."):
        link.children.append(f" [{host}]")
    return [link]


def _host(address: str) -> str | None:
    """The host of an address that may be linked to, '' for mail, None for any other (a name before @ deceives)."""
    try:
        parts = urlsplit(address)
        if parts.scheme in ("http", "https"):
            return None if "@" in parts.netloc else parts.hostname or None
    except ValueError:
        return None
    return "" if parts.scheme == "mailto" else None


def _abridged(link: Element, address: str, host: str) -> bool:
    """Whether this is a long address shown in short: scheme and end hidden, the host in full sight."""
    parts = [child for child in link.children if isinstance(child, Element) and child.tag == "span"]
    if len(parts) != len(link.children) or len(parts) not in (2, 3) or link.text() != address:
        return False
    hidden = [part.classes == ["invisible"] for part in parts]
    if any(isinstance(child, Element) for part in parts for child in part.children):
        return False
    opening = parts[0].text().lower() in ("http://", "https://", "http://www.", "https://www.")
    seen = parts[1].text().lower()
    whole = re.match(rf"{re.escape(host.removeprefix('www.'))}(?:[:/?#]|$)", seen)
    return hidden[:2] == [True, False] and hidden[2:] in ([], [True]) and opening and whole is not None


def _words(element: Element, as_it_stands: bool = False) -> Iterator[str]:
    exact = as_it_stands or element.tag == "pre"
    for child in element.children:
        if isinstance(child, str):
            between = not exact and element.tag in _AROUND_BLOCKS and child.isspace()
            yield child if exact else "" if between else re.sub(r"\s++", " ", child)
        elif child.tag == "br":
            yield "\v"
        elif child.tag in BLOCKS:
            yield "\n- " if child.tag == "li" else "\n\n"
            yield "".join(_words(child, exact)).strip()
            yield "\n" if child.tag == "li" else "\n\n"
        else:
            yield from _words(child, exact)
