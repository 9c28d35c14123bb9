"""Polls: what a post asks, the answers to choose from, and who chose which."""

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from server.models.columns import maybe_moment, moment, own_id, reference


class Poll(Model):
    """The poll that a post carries. It is counted by the host of its space, outside spaces by its author's instance."""

    post_id = fields.BigIntField(primary_key=True, generated=False)
    multiple = fields.BooleanField(db_default=False)
    ends_at = maybe_moment()  # empty: it does not end
    due_at = maybe_moment()  # when those concerned are told that it is over; empty: they were, or never will be
    voters_told = fields.IntField(db_default=0)  # as whoever counts it elsewhere said last

    class Meta:
        table = "poll"
        indexes = (Index(fields=("due_at",)),)


class PollOption(Model):
    """One answer, in its place from 0 on."""

    id = own_id()
    post = reference("Post")
    position = fields.IntField()
    title = fields.CharField(max_length=200)  # plain text
    told = fields.IntField(db_default=0)  # votes, as whoever counts them elsewhere said last

    class Meta:
        table = "poll_option"
        unique_together = (("post_id", "position"),)


class Vote(Model):
    """Who chose an answer. Nobody is shown that; they are counted."""

    id = own_id()
    post = reference("Post")
    position = fields.IntField()
    actor = reference("Actor")
    uri = fields.CharField(max_length=512, db_default="")
    side = fields.CharField(max_length=128, db_default="")  # the outside organisation whose vote it is
    created_at = moment()

    class Meta:
        table = "vote"
        unique_together = (("post_id", "actor_id", "position"),)
        indexes = (Index(fields=("actor_id",)),)
