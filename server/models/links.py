"""The trust agreement between this instance and another."""

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from server.models.columns import maybe_moment, moment, own_id, reference


class Link(Model):
    """An agreement between two administrators. Nothing restricted flows before it is active on both sides."""

    id = own_id()
    peer = reference("Peer")
    state = fields.CharField(max_length=16)
    offer_uri = fields.CharField(max_length=512, db_default="")
    our_nonce = fields.CharField(max_length=64, db_default="")
    their_nonce = fields.CharField(max_length=64, db_default="")
    their_key_uri = fields.CharField(max_length=512, db_default="")
    their_key = fields.CharField(max_length=200, db_default="")  # Multikey, pinned
    their_old_key_uri = fields.CharField(max_length=512, db_default="")  # counts too until `their_old_until_at`
    their_old_key = fields.CharField(max_length=200, db_default="")
    their_old_until_at = maybe_moment()
    our_key_uri = fields.CharField(max_length=512, db_default="")  # the one they hold until `rekey_event_id` arrived
    rekey_event_id = fields.BigIntField(null=True)
    kin = fields.BooleanField(db_default=False)  # a department of the same house: its ceiling is that of staff
    min_version = fields.IntField(db_default=1)  # of the link protocol, the higher of what both ask
    offer_until_at = maybe_moment()  # an offer that nobody took by then is void
    until_at = maybe_moment()  # the agreement ends then by itself
    confirmed_here_at = maybe_moment()
    confirmed_there_at = maybe_moment()
    active_at = maybe_moment()
    cause = fields.CharField(max_length=16, db_default="")  # key, recall, until: suspended or ended by itself
    reason = fields.CharField(max_length=300, db_default="")  # why it is suspended or ended
    created_at = moment()
    changed_at = moment()

    class Meta:
        table = "link"
        unique_together = (("peer_id",),)


class LinkIncident(Model):
    """What an instance said or served that was refused: one row for each reason, counted, so it stays small."""

    id = own_id()
    peer = reference("Peer")
    rule = fields.CharField(max_length=32)
    reason = fields.CharField(max_length=200)  # one of our own sentences, never their words
    example = fields.CharField(max_length=300, db_default="")  # what it was about, the last time
    count = fields.BigIntField(db_default=1)
    first_at = moment()
    last_at = moment()

    class Meta:
        table = "link_incident"
        unique_together = (("peer_id", "rule", "reason"),)
        indexes = (Index(fields=("peer_id", "last_at")),)


class Passport(Model):
    """What the host of a space says of somebody at a third instance, whom we do not ask."""

    id = own_id()
    peer = reference("Peer")  # the host that says it
    uri = fields.CharField(max_length=512)
    name = fields.CharField(max_length=200, db_default="")
    organisation = fields.CharField(max_length=200, db_default="")
    keys = fields.TextField(db_default="[]")  # JSON list of {id, owner, type, value}
    valid_until_at = moment()
    received_at = moment()

    class Meta:
        table = "passport"
        unique_together = (("peer_id", "uri"),)
