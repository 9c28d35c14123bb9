"""The one table: level and dials × audience → rights, and what is left of a right under an older stamp."""

from dataclasses import dataclass
from typing import Any

from server.openness import (
    Audience,
    Existence,
    Files,
    Invite,
    Join,
    Members,
    Notices,
    Read,
    Relay,
    TakePart,
    Variant,
)

DAYS_BACK_MS = 90 * 24 * 3600 * 1000
"""How far back those read who may read a limited past without being members."""


@dataclass(frozen=True, slots=True)
class Rights:
    """One cell: what an audience has in a space, each right an ordered value."""

    existence: Existence = Existence.HIDDEN
    members: Members = Members.NONE
    read: Read = Read.NONE
    files: Files = Files.NONE
    join: Join = Join.NONE
    take_part: TakePart = TakePart.NONE
    invite: Invite = Invite.NONE
    relay: Relay = Relay.NONE
    notices: Notices = Notices.NOTHING
    moderated: bool = False  # what they write waits for a steward
    since_opening: bool = False  # never older than the day this audience was let in


NOTHING = Rights()

_LETTERS = {
    "S": ("existence", Existence),
    "N": ("members", Members),
    "R": ("read", Read),
    "F": ("files", Files),
    "J": ("join", Join),
    "P": ("take_part", TakePart),
    "I": ("invite", Invite),
    "X": ("relay", Relay),
    "T": ("notices", Notices),
}


def _cell(text: str) -> Rights:
    """Reads “S2 N3 R3e P2m”: a letter and a value; `e` since the opening, `m` moderated."""
    values: dict[str, Any] = {}
    for part in text.split():
        name, kind = _LETTERS[part[0]]
        values[name] = kind(int(part[1]))
        if part.endswith("m"):
            values["moderated"] = True
        if part.endswith("e"):
            values["since_opening"] = True
    return Rights(**values)


_STAFF_MEMBER = "S2 N3 R3 F2 P4 I1 X1 T3"
_INTERNAL = "S2 N3 R3 F2 J3 P2 I0 X1"
_GUEST_MEMBER = "S2 N3 R3 F2 P3 X1 T2"

_WRITTEN: dict[Variant, dict[Audience, str]] = {
    Variant.CLOSED: {
        Audience.STAFF_MEMBER: _STAFF_MEMBER,
        Audience.STAFF: "S2 N1 R0 J2",
    },
    Variant.UNLISTED: {
        Audience.STAFF_MEMBER: "S2 N3 R3 F2 P4 I0 X0 T2",
        Audience.STAFF: "S0 J1",
    },
    Variant.INTERNAL: {
        Audience.STAFF_MEMBER: _STAFF_MEMBER,
        Audience.STAFF: _INTERNAL,
    },
    Variant.INVITED: {
        Audience.STAFF_MEMBER: _STAFF_MEMBER,
        Audience.STAFF: "S2 N2 R0 J2",
        Audience.GUEST_MEMBER: "S2 N3 R2 F1 P3 I0 X0 T2",
        Audience.PARTNER_MEMBER: "S2 N3 R2 F1 P3 I1 X0 T2",
        Audience.GUEST: "S0 J1",
        Audience.PARTNER: "S1 J1",
    },
    Variant.INVITED_UNLISTED: {
        # the dial `listed` at this level too: colleagues outside it do not know that it exists. A named partner's
        # server still does, because it is to that server that an invitation is sent
        Audience.STAFF_MEMBER: "S2 N3 R3 F2 P4 I1 X0 T2",
        Audience.STAFF: "S0 J1",
        Audience.GUEST_MEMBER: "S2 N3 R2 F1 P3 I0 X0 T2",
        Audience.PARTNER_MEMBER: "S2 N3 R2 F1 P3 I1 X0 T2",
        Audience.GUEST: "S0 J1",
        Audience.PARTNER: "S1 J1",
    },
    Variant.EVERYONE: {
        Audience.STAFF_MEMBER: _STAFF_MEMBER,
        Audience.STAFF: "S2 N3 R3 F2 J3 P2 X1",
        Audience.GUEST_MEMBER: _GUEST_MEMBER,
        Audience.PARTNER_MEMBER: "S2 N3 R3e F2 P3 I1 X1 T3",
        Audience.GUEST: "S2 N1 R0 J2",
        Audience.PARTNER: "S2 N2 R2e F1 J3 P1 T1",
    },
    Variant.NETWORK: {
        Audience.STAFF_MEMBER: _STAFF_MEMBER,
        Audience.STAFF: _INTERNAL,
        Audience.GUEST_MEMBER: _GUEST_MEMBER,
        Audience.PARTNER_MEMBER: "S2 N3 R3e F2 P3 I1 X1 T3",
        Audience.FED_MEMBER: "S2 N2 R3e F2 P3m X1 T3",
        Audience.GUEST: "S2 N1 R3 J3 P2",
        Audience.PARTNER: "S2 N2 R3e F2 J3 P2 X1",
        Audience.FED: "S2 N1 R2e F1 J2 P2m X1",
    },
    Variant.PUBLIC: {
        Audience.STAFF_MEMBER: "S2 N3 R3 F2 P4 I1 X2 T3",
        Audience.STAFF: "S2 N3 R3 F2 J3 P2 I0 X2",
        Audience.GUEST_MEMBER: _GUEST_MEMBER,
        Audience.PARTNER_MEMBER: "S2 N3 R3 F2 P3 I1 X2 T3",
        Audience.FED_MEMBER: "S2 N2 R3 F2 P3m X2",
        Audience.GUEST: "S2 N1 R3 F2 J3 P2",
        Audience.PARTNER: "S2 N2 R3 F2 J3 P2 X2",
        Audience.FED: "S2 N1 R3e F1 J2 P2m X2",
        Audience.WEB: "S2 N1 R3e F1 X2",
    },
    Variant.ELSEWHERE: {
        Audience.STAFF_MEMBER: "S2 N3 R3 F2 P3 I0 X0 T2",
        Audience.STAFF: "S0 J1",
        Audience.HOST: "S2 R3 F2",
    },
}

TABLE: dict[tuple[Variant, Audience], Rights] = {
    (variant, audience): _cell(_WRITTEN[variant].get(audience, "")) for variant in Variant for audience in Audience
}

NAMED = frozenset({Audience.PARTNER, Audience.PARTNER_MEMBER})
"""Audiences of an instance that the space names: its own day of being let in counts for them."""

OPEN_TO_ALL = frozenset({Variant.NETWORK, Variant.PUBLIC})
"""Rows where nobody needs to be named to come in."""

_ORDERED = tuple(name for name, _ in _LETTERS.values())


def least(one: Rights, other: Rights) -> Rights:
    """What both cells allow, component by component."""
    values: dict[str, Any] = {name: min(getattr(one, name), getattr(other, name)) for name in _ORDERED}
    return Rights(
        **values,
        moderated=one.moderated or other.moderated,
        since_opening=one.since_opening or other.since_opening,
    )


NARROWED: dict[tuple[Variant, Variant, Audience], Rights] = {
    (current, stamp, audience): least(TABLE[current, audience], TABLE[stamp, audience])
    for current in Variant
    for stamp in Variant
    for audience in Audience
}
"""What an audience has of an item: (the space's row now, the item's stamp, the audience)."""
