"""Who did what, kept for administrators. Never content, never secrets (A40)."""

from typing import Any

import msgspec

from server import database as db
from server.clock import now_ms
from server.ids import new_id
from server.viewer import Employee, Guest, Operator, RemotePerson, Viewer


async def note(viewer: Viewer, act: str, *, subject: str = "", space_id: int | None = None, **data: Any) -> None:
    """Writes one deed in the caller's transaction."""
    await db.insert(
        "audit_entry",
        {
            "id": new_id(),
            "at": now_ms(),
            "actor_id": viewer.actor_id if isinstance(viewer, (Employee, Guest, RemotePerson)) else None,
            "operator": viewer.name if isinstance(viewer, Operator) else "",
            "act": act,
            "space_id": space_id,
            "subject": subject[:300],
            "data": msgspec.json.encode(data).decode(),
        },
    )
