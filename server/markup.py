"""A small, bounded tree of HTML: what the sanitiser starts from, so that no input costs more than its length.

Real HTML parsers repair wrong nesting by copying open elements, which lets a few kilobytes grow into millions
of nodes. This one walks the text once, knows only the elements that posts are made of, closes what is left open
and refuses to grow over HTML_DEPTH, HTML_NODES and HTML_REFERENCES (H4, R7). It decides nothing about safety: what
it writes still goes through nh3.
"""

import re
from dataclasses import dataclass, field
from html import escape, unescape

from server.limits import HTML_DEPTH, HTML_NODES, HTML_REFERENCES

INLINE = frozenset({"a", "b", "br", "code", "del", "em", "i", "s", "span", "strong", "sub", "sup", "u"})
BLOCKS = frozenset({"blockquote", "li", "ol", "p", "pre", "ul"})
TAGS = INLINE | BLOCKS
_RENAMED = {"strike": "del", "ins": "u", "div": "p", "dd": "p", "dt": "p", "tr": "p"} | {
    f"h{level}": "p" for level in range(1, 7)
}
_RAW = frozenset({"script", "style", "xmp", "iframe", "noembed", "noframes", "noscript", "textarea", "title"})
_DROPPED = frozenset({"math", "svg", "template", "object", "select", "video", "audio", "canvas", "head", "plaintext"})
_VOID = frozenset({"br", "hr", "img", "wbr", "input", "meta", "link", "base", "area", "col", "embed", "source"})
_ATTRIBUTES = frozenset({"class", "href", "start"})

_NAME = re.compile(r"/?+[A-Za-z][^\s/>]*+")
_ATTRIBUTE = re.compile(r"""[\s/]*+([^\s"'<>/=]++)(?:\s*+=\s*+("|'|[^\s"'<>=`]++))?""")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")


class Overgrown(ValueError):
    """More elements, or deeper ones, than a post may have."""


@dataclass(slots=True)
class Element:
    """An element with its children: elements and pieces of text, already unescaped."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: "list[Element | str]" = field(default_factory=list)

    @property
    def classes(self) -> list[str]:
        return self.attributes.get("class", "").split()

    def text(self) -> str:
        """All text below, as it stands."""
        return "".join(child if isinstance(child, str) else child.text() for child in self.children)


def parse(html: str) -> Element:
    """The tree of a piece of HTML, in one pass. Raises Overgrown, or ValueError for a broken reference."""
    return _Reader(html).read()


def write(element: Element) -> str:
    """A tree as HTML: quoted attributes, escaped text, everything closed."""
    inside = "".join(
        escape(child, quote=False) if isinstance(child, str) else write(child) for child in element.children
    )
    if not element.tag:
        return inside
    attributes = "".join(f' {name}="{escape(value)}"' for name, value in element.attributes.items())
    return (
        f"<{element.tag}{attributes}>"
        if element.tag == "br"
        else f"<{element.tag}{attributes}>{inside}</{element.tag}>"
    )


class _Reader:
    def __init__(self, html: str) -> None:
        self._html = _CONTROLS.sub("", html)
        self._root = Element("")
        self._open = [self._root]
        self._nodes = 0
        self._references = 0

    def read(self) -> Element:
        position, end = 0, len(self._html)
        while position < end:
            bracket = self._html.find("<", position)
            bracket = end if bracket < 0 else bracket
            self._text(self._html[position:bracket])
            position = self._markup(bracket) if bracket < end else end
        return self._root

    def _count(self) -> None:
        self._nodes += 1
        if self._nodes > HTML_NODES:
            raise Overgrown(f"more than {HTML_NODES} nodes")

    def _text(self, raw: str) -> None:
        if raw:
            self._count()
            self._references += sum(map(raw.count, "&<>"))
            if self._references > HTML_REFERENCES:
                raise Overgrown(f"more than {HTML_REFERENCES} character references")
            self._open[-1].children.append(unescape(raw))

    def _markup(self, at: int) -> int:
        """Reads what begins with < and returns where the next thing begins."""
        name = _NAME.match(self._html, at + 1)
        if name is None:
            return self._not_a_tag(at)
        tag = name[0].lower()
        attributes, after = self._attributes(name.end())
        self._count()
        if tag.startswith("/"):
            self._close(_RENAMED.get(tag[1:], tag[1:]))
        elif tag in _RAW:
            return self._skip_raw(tag, after)
        else:
            self._start(tag, attributes)
        return after

    def _not_a_tag(self, at: int) -> int:
        if self._html.startswith("<!--", at):
            return self._past("-->", at + 4)
        if self._html.startswith(("<!", "<?", "</"), at):
            return self._past(">", at + 2)
        self._text("<")
        return at + 1

    def _past(self, mark: str, start: int) -> int:
        found = self._html.find(mark, start)
        return len(self._html) if found < 0 else found + len(mark)

    def _skip_raw(self, tag: str, start: int) -> int:
        found = re.compile(f"</{tag}", re.IGNORECASE).search(self._html, start)
        return len(self._html) if found is None else self._past(">", found.end())

    def _attributes(self, at: int) -> tuple[dict[str, str], int]:
        """Those that we know, the first of each name, and the place after the closing bracket."""
        found: dict[str, str] = {}
        while match := _ATTRIBUTE.match(self._html, at):
            self._count()
            name, value, at = match[1].lower(), match[2] or "", match.end()
            if value in ('"', "'"):
                close = self._html.find(value, at)
                if close < 0:
                    return found, len(self._html)
                value, at = self._html[at:close], close + 1
            if name in _ATTRIBUTES:
                found.setdefault(name, unescape(value))
        return found, self._past(">", at)

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        element = Element(_RENAMED.get(tag, tag), attributes)
        if element.tag in BLOCKS:
            self._close_before(element.tag)
        elif tag == "a":
            self._close("a")
        if element.tag in TAGS:
            self._open[-1].children.append(element)
        elif tag not in _DROPPED:
            return
        if tag not in _VOID:
            self._open.append(element)
            if len(self._open) > HTML_DEPTH + 1:
                raise Overgrown(f"deeper than {HTML_DEPTH}")

    def _close_before(self, tag: str) -> None:
        """A block ends the paragraph that it stands in, and an entry of a list the one before it."""
        self._close("p")
        if tag == "li" and "li" in (names := [element.tag for element in self._open]):
            listed = max((i for i, name in enumerate(names) if name in ("ul", "ol")), default=0)
            if len(names) - 1 - names[::-1].index("li") > listed:
                self._close("li")

    def _close(self, tag: str) -> None:
        for index in range(len(self._open) - 1, 0, -1):
            if self._open[index].tag == tag:
                del self._open[index:]
                return
