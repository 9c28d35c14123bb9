"""Who serves, and who must find the database in peace, do not meet."""

from pathlib import Path

import pytest

from server.running import at_rest, runs
from server.settings import Settings
from server.terminal import Failure


def test_nothing_is_moved_or_put_back_under_a_server_and_none_starts_meanwhile(tmp_path: Path) -> None:
    settings = Settings(base_url="http://localhost:1", database_url="sqlite://x", data_dir=tmp_path / "var")
    with runs(settings), runs(settings), pytest.raises(Failure, match="stop it first"), at_rest(settings):
        pass
    with at_rest(settings), pytest.raises(Failure, match="start it when that is done"), runs(settings):
        pass
    (tmp_path / "var/running.lock").chmod(0o444)  # made by another user
    with runs(settings):
        pass
