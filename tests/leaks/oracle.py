"""Who may see which words of a space: the design's table once more, by hand, and nothing of the code that decides.

A letter for each kind of word: `c` its card (name, description, rules of the house), `n` the names of who is in it,
`r` what is written now, `p` what was written while it was an internal space, `f` the bytes of a file.
"""

import re

SPACES = (
    "closed",
    "unlisted",
    "internal",
    "invited",
    "invited_readable",
    "invited_unlisted",
    "blind",
    "everyone",
    "network",
    "public",
)
"""One space for each row of the table; `blind` is `invited` with partners that do not see one another."""

OUTSIDE = SPACES[3:]
"""Where somebody from outside can be."""

ALL = dict.fromkeys(SPACES, "cnrpf")
COLLEAGUE = {
    "closed": "c",
    "internal": "cnrpf",
    "invited": "c",
    "blind": "c",
    "invited_readable": "crpf",
    "everyone": "cnrpf",
    "network": "cnrpf",
    "public": "cnrpf",
}
PUBLIC_ONLY = {"public": "crf"}
CARDS = {"invited": "c", "invited_readable": "c", "invited_unlisted": "c", "blind": "c"}
OPEN = {"network": "crf", "public": "crf"}

SEEN: dict[str, dict[str, str]] = {
    "member": ALL,
    "colleague": COLLEAGUE,
    "former member": COLLEAGUE,
    "auditor": COLLEAGUE,
    "admin": COLLEAGUE,
    "admin with a granted reading": ALL,
    "gone": PUBLIC_ONLY,
    "visitor": PUBLIC_ONLY,
    "guest in it": dict.fromkeys(OUTSIDE, "crf"),
    # a guest who is not in it: no files of a network space (F is not in the design's cell), all of a public one
    "guest elsewhere": {"everyone": "c", "network": "cr", "public": "crf"},
    "guest whose time is over": PUBLIC_ONLY,
    "partner with a member": dict.fromkeys(OUTSIDE, "cnrf"),
    "rival with a member": dict.fromkeys(OUTSIDE, "crf"),
    "partner without a member": {**CARDS, **OPEN, "everyone": "crf"},
    "partner by invitation": {**CARDS, **OPEN, "everyone": "c"},
    "sister department": {**CARDS, **OPEN, "invited": "cn", "invited_readable": "cn", "everyone": "cnrf"},
    "linked, not named": OPEN,
    "not linked": OPEN,
    "not linked, with a member": OPEN,
}

FIELDS = {
    "name": "c",
    "description": "c",
    "charter": "c",
    "tone": "c",
    "frame": "c",
    "person": "n",
    "body": "r",
    "summary": "r",
    "link": "r",
    "mention": "r",
    "reaction": "r",
    "option": "r",
    "file": "r",
    "alt": "r",
    "bytes": "f",
    "small": "f",  # the small picture that stands for it
    "theirs": "r",
    "left": "r",  # written by somebody who is not in it any more
    "past": "p",
    "kept": "k",  # left out of an opened past: partners were named, and all others let in, after it was written
    "old": "-",  # what an edit replaced is shown to nobody
    "taken": "-",  # nor is what was taken back
    "held": "o",  # waits for a steward
    "reason": "o",  # why a change of openness was asked for, which waits for a second person
}
"""Every field that holds a canary, and the letter under which it is seen.

The silent `person` is of the partner with a member: others from outside see organisations, not names (rule 6).
Hashtags and link previews do not exist yet.
"""

STILL = {
    "guest in it": ("everyone", "network", "public"),
    "guest elsewhere": ("network", "public"),
    "partner with a member": ("public",),
    "rival with a member": ("public",),
    "partner without a member": ("public",),
    "partner by invitation": ("public",),
    "sister department": ("public",),
    "not linked, with a member": ("public",),
}
"""Where the design's table has no date for somebody from outside: there they read what was left out as before."""

RULES = ("charter", "tone", "frame")
"""Shown where somebody writes, and where an owner decides."""
CARRIED = {
    "pages": set(FIELDS) - {"mention"},
    "tokens": set(FIELDS) - {"reaction", "reason"},
    "documents": {
        "name",
        "description",
        "body",
        "link",
        "summary",
        "option",
        "file",
        "alt",
        "bytes",
        "small",
        "past",
        "kept",
    },
}
"""What each door has a place for. What it has none for is still never to be seen by whoever may not see it.

On pages the text that stands for a picture stands beside it, and is shown to whoever may open it.
"""

MAILED = {"name", "body", "link", "past", "kept", "theirs", "left", "held"}
"""What a mail about a post has a place for, where notices carry an excerpt at least."""
BY_MAIL = {"member": "t", "guest in it": "e"}
"""The right T of the design's table, by hand: the text for members, an excerpt for guests; for everybody else notices
carry nothing, whatever they may read on a page.
"""

NO_TOKEN = ("gone", "guest whose time is over")
"""The client API answers nobody without a token that holds."""
SHUT_OUT = ("not linked", "not linked, with a member")
"""With the setting `federation = "linked"`, the signature of an instance without a link is worth nothing."""


def expected(door: str, observer: str) -> set[str]:
    """What an observer must find through a door."""
    if door == "tokens" and observer in NO_TOKEN:
        return set()
    if door == "tokens" and observer == "visitor":
        return {canary("public", field) for field in ("bytes", "small")}  # a file of a public space needs no token
    return {
        canary(space, field)
        for space in SPACES
        for field in CARRIED[door]
        if sees(observer, space, field) and (field not in RULES or observer == "member")
        if (door, field) != ("pages", "alt") or sees(observer, space, "small")
    }


EMPLOYEES = ("member", "colleague", "former member", "auditor", "admin", "admin with a granted reading")
PEOPLE = re.compile(r"^/(people|search|@|api/v1/accounts|api/v2/search)")
OVERSEEN = re.compile(r"^/admin/")
ADMINS = ("admin", "admin with a granted reading")
DECIDED = re.compile(r"^/admin/changes/\d+|/openness$")


def allowed(observer: str, word: str, address: str) -> bool:
    """What an address tells for a reason of its own, beside the table."""
    field = word.rpartition("x")[2].removesuffix("qz")
    if field in ("person", "mention") and PEOPLE.search(address):
        # colleagues know one another and whom they met; the card of one of ours is there for whoever knows its id
        return field == "person" or observer in EMPLOYEES
    if field == "reason":  # an administrator may be the second person that an owner's change waits for
        return observer in ADMINS and bool(DECIDED.search(address))
    # who administers sees which spaces there are and who of a partner is in them: never what is written there
    return observer in (*ADMINS, "auditor") and (bool(OVERSEEN.search(address)) and field in ("name", "person"))


def canary(space: str, field: str) -> str:
    return f"zq{space.replace('_', '')}x{field}qz"


def sees(observer: str, space: str, field: str) -> bool:
    """Whether the design lets this observer see this field."""
    if field == "theirs":  # written by the partner with a member
        if space not in OUTSIDE:
            return False
        if space == "blind" and observer in ("guest in it", "rival with a member"):
            return False
    if FIELDS[field] == "o":  # alice, who owns them all
        return observer == "member" and (field != "held" or space in OUTSIDE)
    if FIELDS[field] == "k":
        inside = observer in EMPLOYEES and "r" in SEEN[observer].get(space, "")
        return inside or space in STILL.get(observer, ())
    return FIELDS[field] in SEEN[observer].get(space, "")


def seen_by(observer: str) -> set[str]:
    return {canary(space, field) for space in SPACES for field in FIELDS if sees(observer, space, field)}


def mailed(observer: str, space: str) -> set[str]:
    """What stands in a mail about all that was written in a space."""
    if observer not in BY_MAIL:
        return set()
    return {canary(space, field) for field in MAILED if sees(observer, space, field)}
