"""How far two linked instances have told each other things: one row for each of them, both directions."""

from tortoise import fields
from tortoise.models import Model

from server.models.columns import maybe_moment, moment, own_id, reference


class Stream(Model):
    """Numbers without gaps, in each direction: what we gave out, what they have, what they gave out, what we have.

    A generation is a random name of one run of numbers. It changes when one side finds that a database went back.
    """

    id = own_id()
    peer = reference("Peer")
    generation = fields.CharField(max_length=32)  # of what we send
    given = fields.BigIntField(db_default=0)  # the newest number that we gave
    acked = fields.BigIntField(db_default=0)  # they keep everything up to this one
    done = fields.BigIntField(db_default=0)  # there, everything up to this one took effect or was refused
    their_generation = fields.CharField(max_length=32, db_default="")  # of what they send
    got = fields.BigIntField(db_default=0)  # we keep everything up to this one
    told = fields.BigIntField(db_default=0)  # they know what became of everything up to this one
    ask_at = moment(db_default=0)  # when to ask what became of the rest, 0: nothing to ask
    asked = fields.IntField(db_default=0)  # times in a row without news
    resync_at = maybe_moment()  # since when what both hold is to be compared
    compared_at = maybe_moment()  # when it last was, to its end
    behind_at = maybe_moment()  # since when administrators know that what waits for them is minutes old

    class Meta:
        table = "stream"
        unique_together = (("peer_id",),)
