"""Where an instance, ours or another, stood before it moved."""

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from server.models.columns import moment, own_id, reference


class FormerOrigin(Model):
    """An address that an instance had once: what is named by it is what stands at `now_url` today.

    Rows stay for good, so that nobody who comes by such an address later is taken for the one who left it.
    """

    id = own_id()
    peer = reference("Peer", null=True)  # who moved; empty: we did
    host = fields.CharField(max_length=255, unique=True)
    base_url = fields.CharField(max_length=512)
    now_url = fields.CharField(max_length=512)
    said_at = moment()  # when the mover said so, by its own clock: an older word counts no more
    moved_at = moment()

    class Meta:
        table = "former_origin"
        indexes = (Index(fields=("peer_id", "id")),)
