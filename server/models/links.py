"""The trust agreement between this instance and another."""

from tortoise import fields
from tortoise.models import Model

from server.models.columns import maybe_moment, moment, own_id, reference


class Link(Model):
    """An agreement between two administrators. Nothing restricted flows before it is active on both sides."""

    id = own_id()
    peer = reference("Peer", unique=True)
    state = fields.CharField(max_length=16)
    offer_uri = fields.CharField(max_length=512, db_default="")
    our_nonce = fields.CharField(max_length=64, db_default="")
    their_nonce = fields.CharField(max_length=64, db_default="")
    their_key_uri = fields.CharField(max_length=512, db_default="")
    their_key = fields.CharField(max_length=200, db_default="")  # Multikey, pinned
    confirmed_here_at = maybe_moment()
    confirmed_there_at = maybe_moment()
    active_at = maybe_moment()
    reason = fields.CharField(max_length=300, db_default="")  # why it is suspended or ended
    created_at = moment()
    changed_at = moment()

    class Meta:
        table = "link"
