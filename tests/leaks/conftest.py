"""The application as it is served, over a scene full of canaries."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.applications import Starlette

from server.credentials import make_secret
from server.settings import Settings
from tests.cast import HERE
from tests.federation.conftest import databases as databases
from tests.federation.conftest import engine as engine
from tests.federation.conftest import fleet as fleet
from tests.leaks.scene import Scene, build
from web.api.search import nothing
from web.app import create_app


@pytest.fixture
def app(request: pytest.FixtureRequest, database: str, tmp_path: Path) -> Starlette:
    settings = Settings(
        base_url=HERE.base, database_url=database, data_dir=tmp_path, federation=getattr(request, "param", "linked")
    )
    make_secret(settings, sealed_keys_exist=False)
    app = create_app(settings)
    app.state.lookup = nothing  # no network
    return app


@pytest.fixture
async def scene(app: Starlette) -> AsyncIterator[Scene]:
    yield await build(app)
