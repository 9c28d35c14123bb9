"""Spaces, who is in them, and which partner instances they name."""

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from server.models.columns import maybe_moment, moment, own_id, reference


class Space(Model):
    """A place to work together. Hosted here when `peer` is empty, else our view of a partner's space."""

    id = own_id()
    actor = reference("Actor", unique=True)
    slug = fields.CharField(max_length=200, unique=True)  # `name` here, `name@host` for one hosted elsewhere
    peer = reference("Peer", null=True)
    name = fields.CharField(max_length=200)
    description = fields.TextField(db_default="")
    level = fields.CharField(max_length=16)
    listed = fields.BooleanField(db_default=True)
    reach = fields.CharField(max_length=16, db_default="invited")
    epoch = fields.BigIntField(db_default=1)  # grows by one with every change of policy
    opened_at = maybe_moment()  # what non-members outside may read begins here
    closed_at = maybe_moment()
    created_at = moment()

    class Meta:
        table = "space"
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
    added_at = moment()
    until_at = maybe_moment()

    class Meta:
        table = "space_partner"
        unique_together = (("space_id", "peer_id"),)
        indexes = (Index(fields=("peer_id",)),)
