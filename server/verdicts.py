"""What became of something at another instance, as a word: told on the wire, shown to people in their language."""

from server.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge, Unavailable

CODES = ("policy", "not-found", "untrusted", "malformed", "too-big", "conflict", "not-taken", "failed", "unavailable")
"""Every code there is. `policy`: understood, and the answer is no."""

_OF_ERRORS: dict[str, str] = {
    Forbidden.__name__: "policy",
    "Refused": "policy",
    NotFound.__name__: "not-found",
    "Gone": "not-found",
    "Untrusted": "untrusted",
    "Malformed": "malformed",
    Invalid.__name__: "malformed",
    TooLarge.__name__: "too-big",
    Conflict.__name__: "conflict",
    Unavailable.__name__: "unavailable",
    "Unreachable": "unavailable",
}


def code_of(error: Exception) -> str:
    """The code of an error, by its class or the nearest one above it."""
    if getattr(error, "rule", "") == "untaken":
        return "not-taken"
    return next((_OF_ERRORS[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in _OF_ERRORS), "failed")
