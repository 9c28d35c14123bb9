"""How our own people come in: accounts, sessions, tokens, one-time links, counted attempts."""

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from server.models.columns import maybe_moment, moment, own_id, reference


class Account(Model):
    """An employee's way in and personal settings; the public side is the Actor."""

    id = own_id()
    actor = reference("Actor")
    name = fields.CharField(max_length=64, unique=True)
    email = fields.CharField(max_length=254, null=True, unique=True)
    password_hash = fields.CharField(max_length=255, db_default="")
    office = fields.CharField(max_length=16, db_default="member")
    language = fields.CharField(max_length=8, db_default="")  # empty: the browser's, else the instance's
    theme = fields.CharField(max_length=8, db_default="")  # empty: the system's
    invitations = fields.CharField(max_length=8, db_default="accept")  # from linked partners: accept, ask
    mails = fields.CharField(max_length=8, db_default="at_once")  # what waits, by mail: at_once, daily, never
    read_up_to = fields.BigIntField(db_default=0)  # the newest post seen in the home feed
    job = fields.CharField(max_length=200, db_default="")  # what they do here, as outsiders may read it
    organisation = fields.CharField(max_length=200, db_default="")  # a guest's
    sponsor = reference("Actor", null=True)  # who answers for a guest
    until_at = maybe_moment()  # a guest's last moment here
    suspended_at = maybe_moment()
    created_at = moment()

    class Meta:
        table = "account"
        unique_together = (("actor_id",),)


class Session(Model):
    """A signed-in browser. Only the hash of its token is kept."""

    id = own_id()
    token_hash = fields.CharField(max_length=64, unique=True)
    account = reference("Account")
    user_agent = fields.CharField(max_length=300, db_default="")
    created_at = moment()
    seen_at = moment()
    expires_at = moment()

    class Meta:
        table = "session"
        indexes = (Index(fields=("account_id",)),)


class AccessToken(Model):
    """A bearer token of the client API. Only its hash is kept."""

    id = own_id()
    token_hash = fields.CharField(max_length=64, unique=True)
    account = reference("Account")
    scopes = fields.CharField(max_length=200)
    label = fields.CharField(max_length=100, db_default="")
    created_at = moment()
    revoked_at = maybe_moment()

    class Meta:
        table = "access_token"
        indexes = (Index(fields=("account_id",)),)


class FeedToken(Model):
    """A secret address under which somebody reads one space in a feed reader; it dies with their right."""

    id = own_id()
    token_hash = fields.CharField(max_length=64, unique=True)
    account = reference("Account")
    space = reference("Space")
    created_at = moment()
    revoked_at = maybe_moment()

    class Meta:
        table = "feed_token"
        unique_together = (("account_id", "space_id"),)


class SignInLink(Model):
    """A link that signs somebody in once, for the first visit."""

    id = own_id()
    token_hash = fields.CharField(max_length=64, unique=True)
    account = reference("Account")
    created_at = moment()
    expires_at = moment()
    used_at = maybe_moment()

    class Meta:
        table = "sign_in_link"


class Attempt(Model):
    """How often something was tried in a window of time, counted in one statement (W9)."""

    id = own_id()
    bucket = fields.CharField(max_length=200)
    window_at = moment()
    tries = fields.IntField(db_default=0)

    class Meta:
        table = "attempt"
        unique_together = (("bucket", "window_at"),)
