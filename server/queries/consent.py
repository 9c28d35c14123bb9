"""Whether words of an instance's people may be opened to those who could not read them when they were written."""

from server import database as db

HISTORY_CONSENT = "history_consent"


async def denies_past() -> bool:
    """Whether this instance does not consent: what its people wrote in spaces elsewhere stays out of an opened past."""
    row = await db.fetch_one("SELECT value FROM own_choice WHERE name = $1", HISTORY_CONSENT)
    return row is not None and row["value"] == "deny"


async def spoke_of_past() -> bool:
    """Whether this instance ever said that it does not consent, or that it does again."""
    return await db.fetch_one("SELECT id FROM own_choice WHERE name = $1", HISTORY_CONSENT) is not None
