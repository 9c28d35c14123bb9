"""What can go wrong in the domain: each error has a sentence for people and a detail for the log.

The first argument of every class is a msgid in French with named places (`%(limit)s`), so the catalogue can
be extracted with these class names as keywords. The sentence never holds content, an address or a secret;
whatever helps an operator goes into `detail`, which is never shown.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar


class DomainError(Exception):
    """Anything a verb or a question may refuse; the doors turn it into a page, into JSON or into an exit
    code. `field` is the name of the form field or key that it concerns, '' when it concerns the whole.
    """

    default: ClassVar[str] = "Cette action n’est pas possible."

    def __init__(
        self,
        sentence: str | None = None,
        *,
        field: str = "",
        detail: str = "",
        params: Mapping[str, object] | None = None,
    ) -> None:
        self.field: str = field
        self.sentence: str = sentence or self.default
        self.detail: str = detail
        self.params: dict[str, object] = dict(params or {})
        self.enough: Callable[[Any], str] | None = None  # what would allow it, said in a language
        self.said: Callable[[Any], str] | None = None  # the sentence in a language, where its values have words too
        self.steps: tuple[tuple[str, str], ...] = ()  # the same for programs: (step, what it leads to)
        super().__init__(f"{self.sentence} ({detail})" if detail else self.sentence)


class NotFound(DomainError):
    """Not there, or may not be known to be there: both look the same to whoever asks."""

    default = "Cette page n’existe pas."


class Forbidden(DomainError):
    """Known to the viewer, but not allowed."""

    default = "Vous n’avez pas le droit de faire cela."


class Unauthenticated(DomainError):
    """Nobody is signed in, or the signature or token does not hold."""

    default = "Identifiez-vous pour continuer."


class Invalid(DomainError):
    """A value that does not fit."""

    default = "Cette valeur ne convient pas."


class Conflict(DomainError):
    """It exists already, or somebody else changed it in between."""

    default = "Cela existe déjà, ou vient d’être modifié par quelqu’un d’autre."


class TooLarge(DomainError):
    """More bytes, characters or entries than this instance accepts."""

    default = "C’est trop volumineux."


class Unavailable(DomainError):
    """Not possible now, perhaps later: disk full, database busy or unreachable. Nothing was kept."""

    default = "Le service est momentanément indisponible : réessayez dans un instant."
