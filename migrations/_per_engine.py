"""An operation for what the two databases spell differently: full-text search, triggers, partial indexes."""

from collections.abc import Sequence
from typing import Any

from tortoise.migrations.operations import RunSQL
from tortoise.migrations.schema_editor.base import BaseSchemaEditor
from tortoise.migrations.schema_generator.state import State


class PerEngine(RunSQL):
    """Statements for each database, each run whole: RunSQL would cut a trigger's body at its semicolons."""

    def __init__(self, *, sqlite: Sequence[str] = (), postgres: Sequence[str] = ()) -> None:
        super().__init__(sql=RunSQL.noop)
        self.statements = {"sqlite": list(sqlite), "postgres": list(postgres)}

    async def database_forward(
        self,
        app_label: str,
        old_state: State,
        new_state: State,
        state_editor: BaseSchemaEditor | None = None,
    ) -> None:
        if state_editor is None:
            return
        client: Any = state_editor.client
        for statement in self.statements[client.capabilities.dialect]:
            await client.change(statement, ())
