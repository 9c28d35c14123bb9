"""What pages show: values from the queries into templates, in the reader's language."""

from web.pages.showing.people import people, person, results
from web.pages.showing.posts import audience_line, card, composer, editor, home, thread, who_sees
from web.pages.showing.spaces import about, members, new_space, openness, space
from web.pages.showing.spaces import listed as spaces

__all__ = [
    "about",
    "audience_line",
    "card",
    "composer",
    "editor",
    "home",
    "members",
    "new_space",
    "openness",
    "people",
    "person",
    "results",
    "space",
    "spaces",
    "thread",
    "who_sees",
]
