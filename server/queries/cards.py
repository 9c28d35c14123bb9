"""Who somebody is, in one line: what pages and clients show of a person or a space."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PersonCard:
    """Who somebody is, in one line."""

    id: int
    uri: str
    name: str
    host: str  # '' for our own
    display_name: str
    kind: str = "person"
    until_at: int | None = None  # the last moment here of a guest, a person from outside with an account of ours

    @property
    def handle(self) -> str:
        return f"{self.name}@{self.host}" if self.host else self.name
