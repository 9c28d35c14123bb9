"""Columns that every table shares: our own time-ordered ids, moments in milliseconds, references."""

from typing import Any

from tortoise import fields

from server.ids import new_id


def own_id() -> Any:
    """A primary key made by us, so that a row's id is known before it is written."""
    return fields.BigIntField(primary_key=True, generated=False, default=new_id)


def moment(**options: Any) -> Any:
    """Milliseconds since 1970 UTC."""
    return fields.BigIntField(**options)


def maybe_moment(**options: Any) -> Any:
    """Milliseconds since 1970 UTC, or nothing while it has not happened."""
    return fields.BigIntField(null=True, **options)


def reference(model: str, *, null: bool = False) -> Any:
    """A foreign key without a reverse accessor, and without cascades: rows are found and ended by name.

    Where only one row may refer, `Meta` says so by `unique_together`: Tortoise makes no constraint of `unique` here.
    """
    options: dict[str, Any] = {"related_name": False, "on_delete": fields.OnDelete.RESTRICT, "null": null}
    return fields.ForeignKeyField(f"models.{model}", **options)
