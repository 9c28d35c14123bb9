"""The commands that work on one instance's own data: thin doors over the verbs of `server`."""

from typing import Any


def register(commands: Any) -> None:
    """Adds this package's commands to `parvis`."""
