"""Who did what to which space or link, and by which door."""

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from server.models.columns import moment, own_id, reference


class AuditEntry(Model):
    """A deed that administrators may look back on. Never content, never secrets (A40)."""

    id = own_id()
    at = moment()
    actor = reference("Actor", null=True)
    operator = fields.CharField(max_length=100, db_default="")
    act = fields.CharField(max_length=64)
    space = reference("Space", null=True)
    subject = fields.CharField(max_length=300, db_default="")
    data = fields.TextField(db_default="{}")

    class Meta:
        table = "audit_entry"
        indexes = (Index(fields=("space_id", "id")),)
