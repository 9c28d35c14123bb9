"""The forms of a page as a browser without scripts sees them: what they would send, and what is said beside a field."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"})
TYPED = frozenset({"", "text", "search", "email", "url", "tel", "password"})


@dataclass(slots=True)
class Control:
    """A field that somebody fills."""

    name: str
    kind: str
    attributes: dict[str, str]
    value: str = ""

    @property
    def described_by(self) -> list[str]:
        return self.attributes.get("aria-describedby", "").split()

    @property
    def typed(self) -> bool:
        """Whether any text can be written into it."""
        return (self.kind == "textarea" or self.kind in TYPED) and not self._closed

    @property
    def dated(self) -> bool:
        return self.kind == "date" and not self._closed

    @property
    def _closed(self) -> bool:
        return bool({"readonly", "hidden", "disabled"} & set(self.attributes))


@dataclass(slots=True)
class Form:
    """`sent`: what is sent when nothing is touched; `buttons`: where each of them sends it, '' to the form's action."""

    action: str
    method: str
    controls: list[Control] = field(default_factory=list)
    sent: dict[str, str] = field(default_factory=dict)
    buttons: list[str] = field(default_factory=list)

    @property
    def required(self) -> list[str]:
        return [one.name for one in self.controls if "required" in one.attributes]

    def filled(self, name: str) -> str:
        return self.sent.get(name, "")


class Forms(HTMLParser):
    """`found`: the forms in their order; `said`, `classes`: the text and the classes of each element that has an id."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[Form] = []
        self.said: dict[str, str] = {}
        self.classes: dict[str, str] = {}
        self._ids: list[str] = []
        self._in: Form | None = None
        self._text: Control | None = None
        self._select = ""
        self._inert = 0  # inside templates, of which nothing is shown or sent
        self.feed(page)

    def tells_errors(self, name: str) -> bool:
        """Whether the element with this id says what is wrong."""
        return bool({"error", "notice--danger"} & set(self.classes.get(name, "").split()))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inert += tag == "template"
        if self._inert:
            return
        told = {name: value or "" for name, value in attrs}
        if tag not in VOID:
            self._ids.append(told.get("id", ""))
        if "id" in told:
            self.said.setdefault(told["id"], "")
            self.classes[told["id"]] = told.get("class", "")
        if tag == "form":
            self._in = Form(told.get("action", ""), told.get("method", "get"))
            self.found.append(self._in)
        if self._in is None:
            return
        if tag == "input":
            self._input(self._in, told)
        elif tag == "textarea":
            self._text = Control(told["name"], "textarea", told)
            self._in.controls.append(self._text)
        elif tag == "select":
            self._select = told["name"]
        elif tag == "option" and ("selected" in told or self._select not in self._in.sent):
            self._in.sent[self._select] = told.get("value", "")
        elif tag == "button":
            self._in.buttons.append(told.get("formaction", ""))

    @staticmethod
    def _input(form: Form, told: dict[str, str]) -> None:
        kind, name = told.get("type", ""), told.get("name", "")
        if kind in ("checkbox", "radio"):
            if "checked" in told:
                form.sent[name] = told.get("value", "on")
        elif kind not in ("file", "submit") and name:
            form.sent[name] = told.get("value", "")
            if kind != "hidden":
                form.controls.append(Control(name, kind, told, told.get("value", "")))

    def handle_endtag(self, tag: str) -> None:
        if self._inert:
            self._inert -= tag == "template"
            return
        if tag not in VOID and self._ids:
            self._ids.pop()
        if tag == "form":
            self._in = None
        if tag == "textarea" and self._text is not None and self._in is not None:
            self._in.sent[self._text.name] = self._text.value
            self._text = None

    def handle_data(self, data: str) -> None:
        for name in self._ids:
            if name:
                self.said[name] += data
        if self._text is not None:
            self._text.value += data
