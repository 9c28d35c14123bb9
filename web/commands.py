"""The commands that start the web side: serving, and the demo."""

from typing import Any


def register(commands: Any) -> None:
    """Adds this package's commands to `parvis`."""
