"""The words of openness, as ordered enums: levels, roles, rights. Nothing else may spell them.

The levels are those that people read; their order is from the closed door to the open square.
"""

from enum import IntEnum, StrEnum


class Level(StrEnum):
    """How open a space is to those who are not its members."""

    CLOSED = "closed"
    INTERNAL = "internal"
    PARTNERS = "partners"
    NETWORK = "network"
    PUBLIC = "public"

    @property
    def rank(self) -> int:
        """1 (closed) to 5 (public)."""
        return list(Level).index(self) + 1


class Reach(StrEnum):
    """At level `partners`: who at a named partner may come in."""

    INVITED = "invited"
    EVERYONE = "everyone"


class Variant(StrEnum):
    """A level together with its dials `listed` and `reach`: one row of the table. Items are stamped with it."""

    CLOSED = "closed"
    UNLISTED = "unlisted"
    INTERNAL = "internal"
    INVITED = "invited"
    INVITED_UNLISTED = "invited_unlisted"
    INVITED_READABLE = "invited_readable"  # colleagues outside it read
    EVERYONE = "everyone"
    NETWORK = "network"
    PUBLIC = "public"
    ELSEWHERE = "elsewhere"  # hosted by a partner: what we hold is only our members' view


class PartnerView(StrEnum):
    """What people of one partner see of those of another in the same space."""

    EVERYONE = "everyone"
    ORGANISATIONS = "organisations"
    BLIND = "blind"


class History(StrEnum):
    """How far back members from outside read; LEVEL: as the level says."""

    LEVEL = ""
    SINCE_JOINING = "since_joining"
    SINCE_OPENING = "since_opening"
    DAYS = "days"
    ALL = "all"


class Identity(StrEnum):
    """Under which name our people appear outside; LEVEL: as the level says."""

    LEVEL = ""
    FULL = "full"
    FIRST_NAME = "first_name"
    FUNCTION = "function"


class AfterClose(StrEnum):
    """What becomes of what was written when a space reaches its end date."""

    KEEP = "keep"
    FREEZE = "freeze"
    PURGE = "purge"


class Role(StrEnum):
    """What somebody is in a space."""

    MEMBER = "member"
    STEWARD = "steward"
    OWNER = "owner"


class MemberState(StrEnum):
    """Where somebody stands on the way into a space."""

    INVITED = "invited"
    ASKED = "asked"
    MEMBER = "member"
    FROZEN = "frozen"  # in a space elsewhere: its host did not name them, so they read nothing until that is settled


class Office(StrEnum):
    """What an employee is at this instance."""

    MEMBER = "member"
    ADMIN = "admin"
    AUDITOR = "auditor"
    GUEST = "guest"  # from outside, with a sponsor and an end date


class Visibility(StrEnum):
    """To whom a post outside any space is addressed."""

    PUBLIC = "public"
    COLLEAGUES = "colleagues"
    FOLLOWERS = "followers"
    DIRECT = "direct"


class LinkState(StrEnum):
    """Where the trust agreement with another instance stands."""

    NONE = "none"
    OFFERED = "offered"
    RECEIVED = "received"
    CONFIRMED = "confirmed"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    ENDED = "ended"


class Audience(StrEnum):
    """What a caller is to a space: decided by the space's home instance and by nobody else."""

    WEB = "web"
    FED = "fed"
    PARTNER = "partner"
    PARTNER_UNINVITED = "partner_uninvited"  # of a partner from which only invited people come in
    KIN = "kin"  # of a sister department with an instance of its own
    GUEST = "guest"
    STAFF = "staff"
    FED_MEMBER = "fed_member"
    PARTNER_MEMBER = "partner_member"
    GUEST_MEMBER = "guest_member"
    STAFF_MEMBER = "staff_member"
    GLASS = "glass"  # an administrator who was granted an exceptional reading
    HOST = "host"  # the instance that a space elsewhere lives on


class Existence(IntEnum):
    HIDDEN = 0
    CARD = 1
    LISTED = 2


class Members(IntEnum):
    NONE = 0
    COUNT = 1
    ORGANISATIONS = 2
    NAMES = 3


class Read(IntEnum):
    NONE = 0
    TITLES = 1
    LIMITED = 2
    ALL = 3


class Files(IntEnum):
    NONE = 0
    VIEW = 1
    DOWNLOAD = 2


class Join(IntEnum):
    NONE = 0
    INVITED = 1
    ASK = 2
    FREELY = 3


class TakePart(IntEnum):
    NONE = 0
    REACT = 1
    REPLY = 2
    POST = 3
    EDIT = 4


class Invite(IntEnum):
    NONE = 0
    OWN_ORGANISATION = 1
    ANYONE = 2


class Relay(IntEnum):
    NONE = 0
    SAME_AUDIENCE = 1
    FREE = 2


class Notices(IntEnum):
    NOTHING = 0
    SOMETHING_NEW = 1
    EXCERPT = 2
    TEXT = 3
