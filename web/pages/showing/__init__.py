"""What pages show: values from the queries into templates, in the reader's language."""

from web.pages.showing.posts import audience_line, card, composer, editor, home, thread, who_sees

__all__ = ["audience_line", "card", "composer", "editor", "home", "thread", "who_sees"]
