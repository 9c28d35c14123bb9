"""The company with addresses, a mail server, and the settings that name it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.settings import Settings
from tests.cast import Cast, gather
from tests.unit.web.mail.office import Office, address_all, open_office, settings_for


@pytest.fixture
async def cast(database: str) -> Cast:
    found = await gather()
    await address_all()
    return found


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    async with open_office() as found:
        yield found


@pytest.fixture
def settings(office: Office, database: str, tmp_path: Path) -> Settings:
    return settings_for(office, database, tmp_path, mail_replies="reponse@aubrac.test")
