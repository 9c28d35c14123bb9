"""How a served instance tells whoever started it that it answers."""

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx

PARVIS = Path(sys.executable).with_name("parvis")


def test_who_started_it_is_told_once_it_answers(database_url: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        base = f"http://localhost:{probe.getsockname()[1]}"
    (tmp_path / "parvis.toml").write_text(
        f'base_url = "{base}"\nport = {base.rpartition(":")[2]}\ndatabase_url = "{database_url}"\nfederation = "off"\n'
    )
    with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(f"{short}/notices")  # unix(7): at most 108 bytes
        notices.settimeout(20)
        environment = {**os.environ, "NOTIFY_SOCKET": f"{short}/notices"}
        with subprocess.Popen([PARVIS, "serve"], cwd=tmp_path, env=environment) as process:
            try:
                assert notices.recv(100) == b"READY=1"
                assert httpx.get(f"{base}/healthz").status_code == 200
            finally:
                process.terminate()
