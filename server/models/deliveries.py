"""What happened here, to whom it is told, what came in, and other work that must not be forgotten."""

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from server.models.columns import maybe_moment, moment, own_id, reference


class Event(Model):
    """A fact, written in the transaction that made it true. `sequenced_at` once its deliveries are rows."""

    id = own_id()
    kind = fields.CharField(max_length=32)
    actor = reference("Actor", null=True)
    space = reference("Space", null=True)
    post = reference("Post", null=True)
    data = fields.TextField(db_default="{}")
    original = fields.TextField(db_default="")  # the activity of somebody elsewhere, relayed as it came
    created_at = moment()
    sequenced_at = maybe_moment()

    class Meta:
        table = "event"
        indexes = (
            Index(fields=("sequenced_at", "id")),
            Index(fields=("post_id",)),
            Index(fields=("space_id", "kind", "actor_id", "id")),
        )


class Delivery(Model):
    """One event for one inbox. No body: it is built, and the policy asked again, when it is sent."""

    id = own_id()
    peer = reference("Peer")
    seq = fields.BigIntField()
    event = reference("Event")
    inbox = fields.CharField(max_length=512)
    lane = fields.SmallIntField(db_default=1)  # 0: what withdraws, first; 1: in turn; 2: by itself, not in the stream
    place = fields.BigIntField(db_default=0)  # the space it is about, whose order is kept; 0: none
    number = fields.BigIntField(null=True)  # its place in the stream of a link; 0: in a run of numbers that is over
    state = fields.CharField(max_length=16, db_default="pending")  # pending, sent, dead, skipped
    attempts = fields.IntField(db_default=0)
    error = fields.CharField(max_length=500, db_default="")  # when sent: why it had no effect, see server.verdicts
    created_at = moment()
    done_at = maybe_moment()

    class Meta:
        table = "delivery"
        unique_together = (("event_id", "inbox"), ("peer_id", "seq"))
        indexes = (Index(fields=("state", "peer_id", "seq")), Index(fields=("peer_id", "number")))


class Receipt(Model):
    """An activity that came in, remembered by its id for ever, with its body until it took effect."""

    id = own_id()
    activity_hash = fields.CharField(max_length=64, unique=True)  # SHA-256 of the activity's id, hex
    peer = reference("Peer", null=True)
    seq = fields.BigIntField(null=True)  # its number in the stream of a link
    sender_uri = fields.CharField(max_length=512)  # the key that signed it
    linked = fields.BooleanField(db_default=False)  # signed with the pinned key of an active link
    body = fields.TextField(db_default="")
    attempts = fields.IntField(db_default=0)
    outcome = fields.CharField(max_length=500, db_default="")
    code = fields.CharField(max_length=16, db_default="")  # why it had no effect, as a word of server.verdicts
    received_at = moment()  # when it came, or so much later as it was not tried for long
    processed_at = maybe_moment()

    class Meta:
        table = "receipt"
        indexes = (Index(fields=("processed_at", "id")), Index(fields=("peer_id", "seq")))


class Job(Model):
    """Other work that survives a crash: one row for each thing to do, leased while it is done."""

    id = own_id()
    kind = fields.CharField(max_length=32)
    key = fields.CharField(max_length=200)
    payload = fields.TextField(db_default="{}")
    due_at = moment()
    attempts = fields.IntField(db_default=0)
    error = fields.CharField(max_length=500, db_default="")
    done_at = maybe_moment()
    created_at = moment()

    class Meta:
        table = "job"
        unique_together = (("kind", "key"),)
        indexes = (Index(fields=("done_at", "due_at")),)
