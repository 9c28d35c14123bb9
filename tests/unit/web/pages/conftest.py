"""The company, the application, and a browser for some of them."""

from pathlib import Path

import pytest
from starlette.applications import Starlette

from tests.cast import Cast, gather
from tests.unit.web.pages.browser import Browser, application, browser_of


@pytest.fixture
async def cast(database: str) -> Cast:
    return await gather()


@pytest.fixture
def app(database: str, tmp_path: Path) -> Starlette:
    return application(database, tmp_path)


@pytest.fixture
async def alice(app: Starlette, cast: Cast) -> Browser:
    return await browser_of(app, cast.alice)


@pytest.fixture
async def bruno(app: Starlette, cast: Cast) -> Browser:
    return await browser_of(app, cast.bruno)


@pytest.fixture
async def odile(app: Starlette, cast: Cast) -> Browser:
    return await browser_of(app, cast.odile)


@pytest.fixture
def visitor(app: Starlette, cast: Cast) -> Browser:
    return Browser(app)
