"""How a space came to be as open as it is: every version of its policy, changes that wait, exceptional reading."""

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from server.models.columns import maybe_moment, moment, own_id, reference


class PolicyVersion(Model):
    """What changed the openness of a space. Never edited, never deleted; each row holds the hash of the one before."""

    number = fields.BigIntField(primary_key=True, generated=False)  # without gaps, over all spaces
    space = reference("Space")
    epoch = fields.BigIntField()  # the version of the space's policy that this made
    at = moment()
    actor = reference("Actor", null=True)
    operator = fields.CharField(max_length=100, db_default="")
    door = fields.CharField(max_length=16)  # page, api, command, file, timer
    source = fields.CharField(max_length=300, db_default="")  # the file and its commit, or which timer
    reason = fields.CharField(max_length=1000, db_default="")
    approver = reference("Actor", null=True)
    plan_hash = fields.CharField(max_length=64, db_default="")
    before = fields.TextField()  # canonical JSON of the policy
    after = fields.TextField()
    effects = fields.TextField(db_default="{}")  # JSON: counts
    previous = fields.CharField(max_length=64)  # hash of the row before, hex
    hash = fields.CharField(max_length=64)

    class Meta:
        table = "policy_version"
        unique_together = (("space_id", "epoch"),)


class PolicyChange(Model):
    """A change of policy that is not applied yet: a draft, or one that waits for a second person or its date."""

    id = own_id()
    space = reference("Space")
    state = fields.CharField(max_length=16)  # draft, waiting, planned, applied, refused, stale
    base_epoch = fields.BigIntField()
    wanted = fields.TextField()  # canonical JSON of the policy
    past = fields.BooleanField(db_default=False)  # opens what was written before, too
    plan_hash = fields.CharField(max_length=64, db_default="")
    reason = fields.CharField(max_length=1000, db_default="")
    door = fields.CharField(max_length=16)
    source = fields.CharField(max_length=300, db_default="")
    asked_by = reference("Actor", null=True)
    asked_at = moment()
    decided_by = reference("Actor", null=True)
    decided_at = maybe_moment()

    class Meta:
        table = "policy_change"
        indexes = (Index(fields=("space_id", "state")),)


class Guardrail(Model):
    """A limit that this instance sets to the openness of all its spaces."""

    id = own_id()
    name = fields.CharField(max_length=64, unique=True)
    value = fields.TextField()  # JSON

    class Meta:
        table = "guardrail"


class OwnChoice(Model):
    """What this instance decided for itself, and tells its partners. No row: as an instance begins."""

    id = own_id()
    name = fields.CharField(max_length=64, unique=True)  # history_consent
    value = fields.CharField(max_length=64)

    class Meta:
        table = "own_choice"


class BreakGlass(Model):
    """An administrator's exceptional reading of one space: a reason, a second person, an end, and its members told."""

    id = own_id()
    space = reference("Space")
    asked_by = reference("Actor")
    reason = fields.CharField(max_length=1000)
    asked_at = moment()
    approved_by = reference("Actor", null=True)
    approved_at = maybe_moment()
    until_at = maybe_moment()
    ended_at = maybe_moment()

    class Meta:
        table = "break_glass"
        indexes = (Index(fields=("asked_by_id", "space_id")),)
