"""The API as it is served: one real process, one real socket."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from server import database as db
from server.clock import now_ms
from tests.federation.harness import free_port

PARVIS = Path(sys.executable).with_name("parvis")
DEADLINE_S = 20.0


@pytest.fixture
def base(database_url: str, tmp_path: Path) -> Iterator[str]:
    """The address of an instance that is up; its settings are parvis.toml in the test's folder."""
    port = free_port()
    (tmp_path / "parvis.toml").write_text(
        f'base_url = "http://localhost:{port}"\nport = {port}\ndatabase_url = "{database_url}"\nfederation = "off"\n'
    )
    process = subprocess.Popen([PARVIS, "serve"], cwd=tmp_path)
    try:
        wait_until_up(f"http://localhost:{port}/healthz", process)
        yield f"http://localhost:{port}"
    finally:
        process.terminate()
        assert process.wait(DEADLINE_S) in (0, -signal.SIGTERM)


def wait_until_up(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(address).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the process does not answer")


def token_of(folder: Path, name: str) -> str:
    added = subprocess.run([PARVIS, "people", "add", name], cwd=folder, capture_output=True, text=True)
    assert added.returncode == 0, added.stderr
    words = [str(PARVIS), "token", name, "--scopes", "read write follow"]
    printed = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True).stdout
    return str(printed.split()[-1])


def test_a_post_goes_in_by_one_token_and_comes_out_by_another(base: str, tmp_path: Path) -> None:
    alice, bruno = (httpx.Client(base_url=base) for _ in range(2))
    with alice, bruno:
        assert alice.post("/api/v1/statuses", json={"status": "à vous"}).status_code == 401
        alice.headers["authorization"] = f"Bearer {token_of(tmp_path, 'alice')}"
        bruno.headers["authorization"] = f"Bearer {token_of(tmp_path, 'bruno')}"
        post = alice.post("/api/v1/statuses", json={"status": "à vous, @bruno"}).json()
        assert [one["id"] for one in bruno.get("/api/v1/timelines/home").json()] == [post["id"]]
        file = alice.post("/api/v2/media", files={"file": ("plan.txt", b"plan\n" * 100_000)}).json()
        assert file["meta"]["original"]["size"] == 500_000
        big = alice.post("/api/v1/statuses", content=b"x" * 2_000_000)
        assert big.status_code == 413
        assert alice.get("/readyz").text == "ready\n"
        assert "parvis_waiting" in httpx.get(f"{base}/metrics").text
        assert httpx.get(f"{base}/metrics", headers={"x-forwarded-for": "203.0.113.9"}).status_code == 404


def test_a_date_comes_also_where_nobody_is_told_anything(base: str, database_url: str, tmp_path: Path) -> None:
    with httpx.Client(base_url=base) as alice:
        alice.headers["authorization"] = f"Bearer {token_of(tmp_path, 'alice')}"
        words = [
            str(PARVIS),
            "spaces",
            "add",
            "journal",
            "--name",
            "Journal",
            "--level",
            "internal",
            "--owner",
            "alice",
        ]
        subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)
        asyncio.run(_end_of_all_spaces(database_url))
        deadline = time.monotonic() + DEADLINE_S
        while (level := alice.get("/api/parvis/v1/spaces/journal").json()["level"]) != "closed":
            assert time.monotonic() < deadline, level


async def _end_of_all_spaces(database_url: str) -> None:
    await db.connect(database_url)
    await db.execute("UPDATE space SET closes_at = $1, then_level = 'closed'", now_ms() - 1)
    await db.disconnect()
