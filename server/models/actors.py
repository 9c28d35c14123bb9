"""Who acts: every ActivityPub identity we know, our own keys, and the instances that identities live on."""

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from server.models.columns import maybe_moment, moment, own_id, reference


class Peer(Model):
    """Another instance: how it is reached, how it fares, and how far we have told it things."""

    id = own_id()
    host = fields.CharField(max_length=255, unique=True)
    base_url = fields.CharField(max_length=512)
    title = fields.CharField(max_length=200, db_default="")
    blocked_at = maybe_moment()
    peering = fields.CharField(max_length=512, db_default="")  # where it takes the stream of a link
    knock = fields.CharField(max_length=16, db_default="")  # the signature form that it took last
    last_seq = fields.BigIntField(db_default=0)  # number of the newest delivery; without gaps
    state = fields.CharField(max_length=16, db_default="ok")  # see federation.schedule
    failures = fields.IntField(db_default=0)
    failing_since_at = maybe_moment()
    due_at = moment(db_default=0)
    rest_until_at = moment(db_default=0)  # it asked to be left alone until then
    lease_until_at = moment(db_default=0)
    lease_owner = fields.CharField(max_length=64, db_default="")
    last_ok_at = maybe_moment()
    last_heard_at = maybe_moment()
    last_error = fields.CharField(max_length=500, db_default="")
    denies_past = fields.BooleanField(db_default=False)  # its people's words stay out where a past is opened to more
    skew_ms = fields.BigIntField(null=True)  # how far its clock is ahead of ours, when last seen
    created_at = moment()

    class Meta:
        table = "peer"


class Actor(Model):
    """A person, a group (a space) or an application (an instance); ours when `peer` is empty."""

    id = own_id()
    uri = fields.CharField(max_length=512, unique=True)
    kind = fields.CharField(max_length=16)  # person, group, application
    name = fields.CharField(max_length=128)  # preferredUsername
    peer = reference("Peer", null=True)
    host = fields.CharField(max_length=255, db_default="")
    display_name = fields.CharField(max_length=200, db_default="")
    summary = fields.TextField(db_default="")
    inbox = fields.CharField(max_length=512, db_default="")
    shared_inbox = fields.CharField(max_length=512, db_default="")
    followers_uri = fields.CharField(max_length=512, db_default="")
    keys = fields.TextField(db_default="[]")  # theirs: JSON list of {id, owner, type, value}
    fetched_at = maybe_moment()
    suspended_at = maybe_moment()
    gone_at = maybe_moment()
    gone_side = fields.CharField(max_length=128, db_default="")  # the outside organisation of a guest who was erased
    created_at = moment()

    class Meta:
        table = "actor"
        indexes = (Index(fields=("host", "name")), Index(fields=("peer_id",)))


class ActorKey(Model):
    """A key of one of our own actors; the private half is sealed with the instance's secret."""

    id = own_id()
    actor = reference("Actor")
    algorithm = fields.CharField(max_length=16)  # rsa, ed25519
    uri = fields.CharField(max_length=512, unique=True)
    public = fields.TextField()  # PEM for rsa, Multikey for ed25519
    sealed_private = fields.TextField()
    created_at = moment()
    retired_at = maybe_moment()  # another one took its place then

    class Meta:
        table = "actor_key"
        indexes = (Index(fields=("actor_id", "algorithm")),)


class Follow(Model):
    """One actor asks to hear from another; heard from once accepted."""

    id = own_id()
    follower = reference("Actor")
    followed = reference("Actor")
    state = fields.CharField(max_length=16)  # pending, accepted
    uri = fields.CharField(max_length=512, db_default="")
    created_at = moment()

    class Meta:
        table = "follow"
        unique_together = (("follower_id", "followed_id"),)
        indexes = (Index(fields=("followed_id", "state")),)
