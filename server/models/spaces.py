"""Spaces, who is in them, and which partner instances they name."""

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from server.models.columns import maybe_moment, moment, own_id, reference


class Space(Model):
    """A place to work together. Hosted here when `peer` is empty, else our view of a partner's space."""

    id = own_id()
    actor = reference("Actor")
    slug = fields.CharField(max_length=200, unique=True)  # `name` here, `name@host` for one hosted elsewhere
    peer = reference("Peer", null=True)
    name = fields.CharField(max_length=200)
    description = fields.TextField(db_default="")
    level = fields.CharField(max_length=16)
    listed = fields.BooleanField(db_default=True)
    reach = fields.CharField(max_length=16, db_default="invited")
    epoch = fields.BigIntField(db_default=1)  # grows by one with every change of policy
    opened_at = maybe_moment()  # what non-members outside may read begins here
    came_open_at = maybe_moment()  # the same, whatever past was opened since: for words that are left out of it
    closed_at = maybe_moment()  # frozen: members read, nobody writes
    staff_read = fields.BooleanField(db_default=False)  # invited partners only: colleagues outside it read too
    partner_view = fields.CharField(max_length=16, db_default="organisations")  # what partners see of each other
    history = fields.CharField(max_length=16, db_default="")  # how far back outside members read; empty: the level's
    history_days = fields.IntField(db_default=0)
    narrowed = fields.TextField(db_default="{}")  # JSON: rights taken from an audience, by audience
    identity_outside = fields.CharField(max_length=16, db_default="")  # how ours are named outside; empty: the level's
    first_posts_moderated = fields.IntField(db_default=3)
    opens_at = maybe_moment()
    closes_at = maybe_moment()
    then_level = fields.CharField(max_length=16, db_default="")  # the level after `closes_at`
    review_days = fields.IntField(db_default=0)  # 0: never
    review_due_at = maybe_moment()
    retention_days = fields.IntField(db_default=0)  # 0: kept
    after_close = fields.CharField(max_length=16, db_default="freeze")  # keep, freeze, purge
    seats = fields.IntField(db_default=0)  # 0: no limit
    charter = fields.TextField(db_default="")
    tone = fields.CharField(max_length=300, db_default="")
    frame = fields.TextField(db_default="")
    language = fields.CharField(max_length=16, db_default="")
    objectives = fields.TextField(db_default="[]")  # JSON: text, metric, target, date
    indexing = fields.BooleanField(db_default=False)
    proofs = fields.BooleanField(db_default=True)  # authors sign what they write for other instances
    checked_at = maybe_moment()  # elsewhere: when its host's list of our members was last compared with ours
    unsure_at = maybe_moment()  # elsewhere: since when the two lists differ
    newcomers_from = maybe_moment()  # elsewhere: who comes in reads what its host dates since then; empty: no past
    frozen_at = maybe_moment()  # elsewhere: nobody here reads it, for they still differed after a comparison
    managed_by = fields.CharField(max_length=300, db_default="")  # the file that declares it
    managed_fields = fields.TextField(db_default="[]")  # JSON
    created_at = moment()

    class Meta:
        table = "space"
        unique_together = (("actor_id",),)
        indexes = (Index(fields=("level",)),)


class Membership(Model):
    """An actor, ours or elsewhere, in a space or on the way into it."""

    id = own_id()
    space = reference("Space")
    actor = reference("Actor")
    peer = reference("Peer", null=True)  # the member's instance; empty: ours
    role = fields.CharField(max_length=16, db_default="member")
    state = fields.CharField(max_length=16)  # invited, asked, member
    since_at = maybe_moment()
    invited_by = reference("Actor", null=True)
    uri = fields.CharField(max_length=512, db_default="")  # the Invite or Join that this answers
    until_at = maybe_moment()
    created_at = moment()

    class Meta:
        table = "membership"
        unique_together = (("space_id", "actor_id"),)
        indexes = (Index(fields=("actor_id", "state")), Index(fields=("space_id", "state", "peer_id")))


class SpacePartner(Model):
    """A linked instance that a space names: its invited people (or everyone there) may come in."""

    id = own_id()
    space = reference("Space")
    peer = reference("Peer")
    added_at = moment()  # from when on its people read; earlier when the past was opened to them
    named_at = maybe_moment()  # the same, whatever past was opened since: for words that are left out of it
    until_at = maybe_moment()
    reach = fields.CharField(max_length=16, db_default="")  # empty: the space's
    people_max = fields.IntField(db_default=0)  # 0: no limit
    sponsor = reference("Actor", null=True)
    custody = fields.CharField(max_length=120, db_default="")  # agreed in words; nothing enforces it
    narrowed = fields.TextField(db_default="{}")  # JSON: rights taken from this partner's people

    class Meta:
        table = "space_partner"
        unique_together = (("space_id", "peer_id"),)
        indexes = (Index(fields=("peer_id",)),)
