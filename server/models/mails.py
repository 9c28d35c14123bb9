"""Mail to our own people: how it stands with each of them, and the addresses under which they answer."""

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from server.models.columns import maybe_moment, moment, own_id, reference


class Mailbox(Model):
    """How mail to one account stands. Only whoever sends writes here; what waits is in `notice`."""

    account_id = fields.BigIntField(primary_key=True, generated=False)
    claim = fields.BigIntField(null=True)  # the mail that is on its way: its Message-ID is made of it
    not_before_at = fields.BigIntField(db_default=0)  # a lease, a pause after a mail, or the wait after a refusal
    attempts = fields.IntField(db_default=0)  # refused for now, in a row
    error = fields.CharField(max_length=300, db_default="")  # what the mail server said
    aside_at = maybe_moment()  # refused for good: nothing is sent until somebody looks
    sent_at = maybe_moment()
    day = fields.BigIntField(db_default=0)  # the day (since 1970) that is counted
    sent_that_day = fields.IntField(db_default=0)

    class Meta:
        table = "mailbox"


class ReplyAddress(Model):
    """Under which one person answers one post by mail. Only the hash of its secret part is kept."""

    id = own_id()
    token_hash = fields.CharField(max_length=64, unique=True)
    account = reference("Account")
    post = reference("Post")
    created_at = moment()
    ended_at = maybe_moment()  # the right was gone when it was tried, or when somebody left

    class Meta:
        table = "reply_address"
        unique_together = (("account_id", "post_id"),)
        indexes = (Index(fields=("post_id",)),)
