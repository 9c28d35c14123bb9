"""What is taken back from other instances, and what other instances take back from us: the ledger of both.

Items are kept by their addresses in parts of a few hundred, so that a recall of thousands is a few rows for each
instance, and whether one item was recalled from one instance is found in one part.
"""

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from server.models.columns import maybe_moment, moment, own_id, reference


class Recall(Model):
    """A narrowing of a space of ours, and what is therefore taken back from the instances that had it."""

    id = own_id()
    space = reference("Space")
    scope = fields.CharField(max_length=16)  # space, item, member, partner
    items = fields.TextField(db_default="")  # JSON list of post ids; empty: all of the space
    reason = fields.CharField(max_length=64)  # the act that narrowed, as in the audit
    keep = fields.CharField(max_length=16)  # none, own-authored, legal-hold
    deadline_at = moment()
    made_by = reference("Actor", null=True)
    operator = fields.CharField(max_length=100, db_default="")
    created_at = moment()

    class Meta:
        table = "recall"
        indexes = (Index(fields=("space_id", "id")),)


class RecallTarget(Model):
    """A recall towards one instance: how it stands, and what that instance signed."""

    id = own_id()
    recall = reference("Recall")
    peer = reference("Peer")
    linked = fields.BooleanField()  # we hold its pinned key: it owes a signed receipt
    # waiting, sent, unreachable, late; then confirmed, partial, sent-unconfirmed, refused
    state = fields.CharField(max_length=20, db_default="waiting")
    items = fields.IntField(db_default=0)  # how many it was sent
    root = fields.CharField(max_length=64, db_default="")  # SHA-256 of their sorted ids, hex
    event = reference("Event", null=True)  # what last told it
    cursor = fields.BigIntField(db_default=0)  # plain servers: the last post that was taken back
    tries = fields.IntField(db_default=0)
    next_at = moment(db_default=0)
    reason = fields.CharField(max_length=300, db_default="")  # why it stands so, and what was not believed
    receipt = fields.TextField(db_default="")  # the signed document, as it came
    purged = fields.IntField(db_default=0)
    retained = fields.IntField(db_default=0)
    gathered_at = maybe_moment()
    sent_at = maybe_moment()
    answered_at = maybe_moment()

    class Meta:
        table = "recall_target"
        unique_together = (("recall_id", "peer_id"),)
        indexes = (Index(fields=("peer_id", "state")), Index(fields=("state", "next_at")))


class RecallPart(Model):
    """A few hundred of the items of a target, by address and in order, `from_uri` to `to_uri`."""

    id = own_id()
    target = reference("RecallTarget")
    number = fields.IntField()
    from_uri = fields.CharField(max_length=512)
    to_uri = fields.CharField(max_length=512)
    uris = fields.TextField()  # JSON list

    class Meta:
        table = "recall_part"
        unique_together = (("target_id", "number"),)


class Purge(Model):
    """What a partner takes back from us: how far it is gone here, and what we answered."""

    id = own_id()
    peer = reference("Peer")
    space = reference("Space", null=True)
    uri = fields.CharField(max_length=512, unique=True)  # the recall's id
    scope = fields.CharField(max_length=16)
    root = fields.CharField(max_length=64)
    items = fields.IntField()
    list_uri = fields.CharField(max_length=512, db_default="")  # where the next page of the list is
    keep = fields.CharField(max_length=16)
    deadline_at = maybe_moment()
    up_to = maybe_moment()  # when its host began it, by its clock
    state = fields.CharField(max_length=16, db_default="listing")  # listing, items, space, files, done, refused
    cursor = fields.BigIntField(db_default=0)  # how many are listed so far; then the last post that was erased
    counts = fields.TextField(db_default="{}")  # JSON: kind to number
    tries = fields.IntField(db_default=0)
    next_at = moment(db_default=0)
    reason = fields.CharField(max_length=300, db_default="")
    receipt = fields.TextField(db_default="")  # what we signed
    received_at = moment()
    done_at = maybe_moment()

    class Meta:
        table = "purge"
        indexes = (Index(fields=("state", "next_at")),)


class PurgePart(Model):
    """A page of the list of a purge; gone from here once `done_at` is set."""

    id = own_id()
    purge = reference("Purge")
    number = fields.IntField()
    uris = fields.TextField()  # JSON list
    done_at = maybe_moment()

    class Meta:
        table = "purge_part"
        unique_together = (("purge_id", "number"),)
