"""Toy tables for the tests of the database layer, and toy histories written to a folder of the test."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tortoise import fields
from tortoise.models import Model

from server.ids import new_id


class Shelf(Model):
    id = fields.BigIntField(primary_key=True, generated=False, default=new_id)
    name = fields.CharField(max_length=64, unique=True)
    label = fields.CharField(max_length=64, db_default="")
    is_open = fields.BooleanField(db_default=False)

    class Meta:
        table = "shelf"


class Book(Model):
    id = fields.BigIntField(primary_key=True, generated=False, default=new_id)
    shelf: fields.ForeignKeyRelation[Shelf] = fields.ForeignKeyField(
        "models.Shelf", related_name=False, on_delete=fields.CASCADE
    )
    title = fields.CharField(max_length=64)
    pages = fields.BigIntField(default=0)

    class Meta:
        table = "book"


FIRST = """
from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    initial = True
    operations = [
        ops.CreateModel(
            name="Shelf",
            fields=[
                ("id", fields.BigIntField(primary_key=True, generated=False)),
                ("name", fields.CharField(max_length=64, unique=True)),
                ("row", fields.IntField(db_default=0)),
                ("label", fields.CharField(max_length=64, db_default="")),
            ],
            options={
                "table": "shelf",
                "app": "models",
                "pk_attr": "id",
                "unique_together": (("row", "name"),),
                "indexes": [Index(fields=["label"])],
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Book",
            fields=[
                ("id", fields.BigIntField(primary_key=True, generated=False)),
                ("shelf", fields.ForeignKeyField("models.Shelf", source_field="shelf_id", to_field="id",
                                                 related_name=False, on_delete=fields.CASCADE)),
                ("title", fields.CharField(max_length=64)),
            ],
            options={"table": "book", "app": "models", "pk_attr": "id"},
            bases=["Model"],
        ),
    ]
"""

NEXT = """
from tortoise import fields, migrations
from tortoise.migrations import operations as ops
from migrations._per_engine import PerEngine


class Migration(migrations.Migration):
    dependencies = [("models", {after!r})]
    operations = [{operations}]
"""


@contextmanager
def history(folder: Path, name: str, **later: str) -> Iterator[str]:
    """A package of migrations: FIRST, then one file for each of `later` (name=operations). Yields its name."""
    package = folder / name
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "m0001_initial.py").write_text(FIRST)
    sys.path.insert(0, str(folder))
    for file, operations in later.items():
        add(package, file, operations)
    try:
        yield name
    finally:
        sys.path.remove(str(folder))
        for module in [known for known in sys.modules if known.split(".")[0] == name]:
            del sys.modules[module]


def add(package: Path, file: str, operations: str) -> None:
    """One more migration, after the last there is."""
    after = max(path.stem for path in package.glob("m*.py"))
    (package / f"{file}.py").write_text(NEXT.format(after=after, operations=operations))
