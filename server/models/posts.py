"""What people write, attach, mention and answer with a gesture."""

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from server.models.columns import maybe_moment, moment, own_id, reference


class Post(Model):
    """A message in a space, or outside any space with a visibility of its own.

    Rows stay when the post is withdrawn (`deleted_at`), so that a late copy does not bring it back.
    """

    id = own_id()
    uri = fields.CharField(max_length=512, unique=True)
    author = reference("Actor")
    space = reference("Space", null=True)
    visibility = fields.CharField(max_length=16, db_default="")  # only outside a space
    reply_to = reference("Post", null=True)
    reply_to_uri = fields.CharField(max_length=512, db_default="")
    root = reference("Post", null=True)  # the post that began the thread; empty on that post itself
    source = fields.TextField(db_default="")  # what our own people typed
    html = fields.TextField(db_default="")  # sanitised; what is shown
    summary = fields.CharField(max_length=500, db_default="")
    language = fields.CharField(max_length=16, db_default="")
    peer = reference("Peer", null=True)  # the author's instance; empty: ours
    attested_by = reference("Peer", null=True)  # the host on whose word the author is believed; empty: proved
    stamp = fields.CharField(max_length=16, db_default="")  # the space's level when this was written
    stamp_epoch = fields.BigIntField(db_default=0)
    stamp_blind = fields.BooleanField(db_default=False)  # partners did not see each other when this was written
    kept_at = maybe_moment()  # left out of the past that was opened then: its author's instance does not consent
    kept_history = fields.CharField(max_length=16, db_default="")  # how far back newcomers read until then
    kept_days = fields.IntField(db_default=0)
    side = fields.CharField(max_length=128, db_default="")  # the outside organisation that it is from or for
    held_at = maybe_moment()  # waits for a steward since
    byline = fields.CharField(max_length=200, db_default="")  # as whom a space elsewhere speaks, for one of its people
    client_key = fields.CharField(max_length=100, null=True)  # so that a form sent twice posts once
    published_at = moment()
    edited_at = maybe_moment()
    deleted_at = maybe_moment()
    recalled_at = maybe_moment()  # its host took it back, and may bring it back by what it says after (ms, its clock)

    class Meta:
        table = "post"
        unique_together = (("author_id", "client_key"),)
        indexes = (
            Index(fields=("space_id", "id")),
            Index(fields=("author_id", "id")),
            Index(fields=("root_id", "id")),
            Index(fields=("reply_to_id",)),
            Index(fields=("visibility", "id")),
        )


class Withdrawal(Model):
    """A post that was taken back before it came. So many of one instance are remembered, and no more."""

    id = own_id()
    peer = reference("Peer")
    author = reference("Actor")
    uri_hash = fields.CharField(max_length=64, unique=True)  # SHA-256 of the post's id, hex
    at = moment()

    class Meta:
        table = "withdrawal"
        indexes = (Index(fields=("peer_id", "id")),)


class PostVersion(Model):
    """What a post said before an edit."""

    id = own_id()
    post = reference("Post")
    html = fields.TextField()
    source = fields.TextField(db_default="")
    replaced_at = moment()

    class Meta:
        table = "post_version"
        indexes = (Index(fields=("post_id",)),)


class Attachment(Model):
    """A file. Without a post while it is only uploaded; `waiting` while its bytes are elsewhere."""

    id = own_id()
    owner = reference("Actor")
    post = reference("Post", null=True)
    position = fields.IntField(db_default=0)
    name = fields.CharField(max_length=255)
    media_type = fields.CharField(max_length=100)
    size = fields.BigIntField(db_default=0)  # bytes
    width = fields.IntField(db_default=0)  # pixels, of a picture with a small one beside its bytes; 0: it has none
    height = fields.IntField(db_default=0)
    sha256 = fields.CharField(max_length=64, db_default="")  # hex; where the bytes are kept
    digest = fields.CharField(max_length=200, db_default="")  # digestMultibase that the author declared
    description = fields.TextField(db_default="")
    source_uri = fields.CharField(max_length=2048, db_default="")
    state = fields.CharField(max_length=16, db_default="ready")  # ready, waiting, failed
    created_at = moment()

    class Meta:
        table = "attachment"
        indexes = (Index(fields=("post_id",)), Index(fields=("sha256",)))


class Mention(Model):
    """Somebody named in a post."""

    id = own_id()
    post = reference("Post")
    actor = reference("Actor")

    class Meta:
        table = "mention"
        unique_together = (("actor_id", "post_id"),)
        indexes = (Index(fields=("post_id",)),)


class Reaction(Model):
    """A gesture in answer to a post; an empty emoji is the plain thank-you."""

    id = own_id()
    post = reference("Post")
    actor = reference("Actor")
    emoji = fields.CharField(max_length=64, db_default="")
    uri = fields.CharField(max_length=512, db_default="")
    side = fields.CharField(max_length=128, db_default="")  # the outside organisation whose gesture it is
    created_at = moment()

    class Meta:
        table = "reaction"
        unique_together = (("post_id", "actor_id", "emoji"),)


class SearchRow(Model):
    """The words of a post as people look for them: no markup, no case, no accents. Gone when it is withdrawn."""

    post_id = fields.BigIntField(primary_key=True, generated=False)
    text = fields.TextField()

    class Meta:
        table = "search_row"


class HeldPost(Model):
    """What a post that waits for a steward came as, until it is decided: the fact of it is written only then."""

    post_id = fields.BigIntField(primary_key=True, generated=False)
    activity_uri = fields.CharField(max_length=512, db_default="")  # by which its author's instance knows what waits
    original = fields.TextField(db_default="")  # the activity as it came, for the relay

    class Meta:
        table = "held_post"


class Notice(Model):
    """Something that waits for one of our people. `key` makes each fact a notice once."""

    id = own_id()
    actor = reference("Actor")  # for whom
    kind = fields.CharField(max_length=16)  # mention, reply, reaction, poll, invitation, member, request, follow
    by = reference("Actor", null=True)
    post = reference("Post", null=True)
    space = reference("Space", null=True)
    key = fields.CharField(max_length=200)
    words = fields.CharField(max_length=500, db_default="")  # what somebody said with it, such as a reason
    created_at = moment()
    read_at = maybe_moment()
    mail_due_at = maybe_moment()  # waits to be told by mail from then on
    mail = fields.BigIntField(null=True)  # the mail that carries it

    class Meta:
        table = "notice"
        unique_together = (("actor_id", "key"),)
        indexes = (
            Index(fields=("actor_id", "id")),
            Index(fields=("mail_due_at",)),
            Index(fields=("actor_id", "mail_due_at")),
            Index(fields=("post_id",)),
        )
