"""The commands that speak with other instances."""

from typing import Any


def register(commands: Any) -> None:
    """Adds this package's commands to `parvis`."""
