"""The command from outside: a real process, its exit code, what it says and where."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.databases import Templates
from tests.federation.harness import free_port
from web.cli import main

PARVIS = Path(sys.executable).with_name("parvis")
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
TRACE = re.compile(r"Traceback|File \"")


def parvis(*words: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end; whatever happens, nobody is shown a stack trace."""
    done = subprocess.run(
        [PARVIS, *words],
        cwd=folder,
        env=ENVIRONMENT | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert not TRACE.search(done.stdout + done.stderr)
    return done


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    """A folder with settings and nothing else."""
    (tmp_path / "parvis.toml").write_text('base_url = "http://localhost:8000"\n')
    return tmp_path


@pytest.fixture
def migrated(instance: Path, templates: Templates) -> Path:
    """The same with its tables."""
    (instance / "var").mkdir()
    templates.sqlite_clone(instance / "var/parvis.db")
    return instance


@pytest.mark.parametrize(
    "words",
    ["", "nonsense", "db", "db nonsense", "db backup", "serve --workers many", "serve --workers 0", "serve --wor 1",
     "db check --config", "db check more"],
)  # fmt: skip
def test_wrong_usage_is_exit_code_2_and_shows_the_usage(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    assert said.err.startswith("usage: parvis")


def test_wrong_usage_ends_the_process_with_2(tmp_path: Path) -> None:
    assert parvis("nonsense", folder=tmp_path).returncode == 2


def test_help_is_the_index_of_all_commands(tmp_path: Path) -> None:
    done = parvis("--help", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert {"db", "serve", "doctor"} <= set(re.findall(r"^    (\w+) ", done.stdout, re.MULTILINE))


def test_missing_settings_are_one_sentence(tmp_path: Path) -> None:
    done = parvis("db", "check", folder=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "parvis: parvis.toml: no such file; “parvis init --base-url …” makes one.\n"


def test_a_bad_setting_is_one_sentence_with_file_and_key(instance: Path) -> None:
    (instance / "parvis.toml").write_text('base_url = "http://localhost:8000"\nprot = 1\n')
    done = parvis("serve", folder=instance)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("parvis: parvis.toml: “prot” is not a setting;")


@pytest.mark.parametrize("before", [True, False], ids=["before the command", "after it"])
def test_the_settings_may_be_named(instance: Path, tmp_path_factory: pytest.TempPathFactory, before: bool) -> None:
    elsewhere, file = tmp_path_factory.mktemp("elsewhere"), str(instance / "parvis.toml")
    words = ("--config", file, "db", "migrate") if before else ("db", "migrate", "--config", file)
    assert parvis(*words, folder=elsewhere).returncode == 0
    assert (instance / "var/parvis.db").exists()
    assert parvis("db", "check", folder=elsewhere, PARVIS_CONFIG=file).returncode == 0


def test_results_go_to_stdout_and_messages_to_stderr(instance: Path) -> None:
    first, second = (parvis("db", "migrate", folder=instance) for _ in range(2))
    assert first.stdout.startswith("0001_initial\n") and first.stderr == ""
    assert (second.stdout, second.stderr) == ("", "The tables are up to date.\n")


def test_what_a_command_writes_is_its_owners_alone(instance: Path) -> None:
    parvis("db", "migrate", folder=instance)
    database = instance / "var/parvis.db"
    assert (database.stat().st_mode & 0o777, database.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_folder_that_cannot_be_made_is_one_sentence(instance: Path) -> None:
    (instance / "var").write_text("in the way")
    done = parvis("db", "migrate", folder=instance)
    assert (done.returncode, done.stderr) == (1, f"parvis: {instance}/var: File exists.\n")


def test_serving_without_tables_is_refused(instance: Path) -> None:
    done = parvis("serve", folder=instance)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "parvis db migrate" in done.stderr


def test_a_taken_port_is_one_sentence(migrated: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = parvis("serve", folder=migrated, PARVIS_PORT=str(port))
    expected = (
        f"parvis: cannot listen on 127.0.0.1:{port}: another program listens there; stop it, or set another “port”.\n"
    )
    assert (done.returncode, done.stderr) == (1, expected)


def test_an_address_of_another_machine_is_one_sentence(migrated: Path) -> None:
    done = parvis("serve", folder=migrated, PARVIS_HOST="192.0.2.1")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "this machine does not have that address" in done.stderr


def test_several_processes_on_sqlite_are_refused(migrated: Path) -> None:
    done = parvis("serve", "--workers", "2", folder=migrated)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


def asked(port: int, path: str) -> str:
    """The status line and body of one GET, once the server accepts; an empty text when it never does."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                return b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        except ConnectionRefusedError:
            time.sleep(0.05)  # nothing tells when another process begins to listen
    return ""


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "systemd"])
def test_serving_answers_and_stops_when_asked(migrated: Path, stop: signal.Signals) -> None:
    port = free_port()
    serving = subprocess.Popen(
        [PARVIS, "serve"], cwd=migrated, env=ENVIRONMENT | {"PARVIS_PORT": str(port)}, stderr=subprocess.PIPE, text=True
    )
    try:
        assert asked(port, "/healthz").startswith("HTTP/1.1 200")
        assert asked(port, "/readyz").startswith("HTTP/1.1 200")
        if stop is signal.SIGTERM:  # under a server that runs nothing is moved or put back
            assert parvis("db", "backup", "copy.db", folder=migrated).returncode == 0
            base = re.search('base_url = "(.+)"', (migrated / "parvis.toml").read_text())
            for words in (("db", "restore", "copy.db"), ("move", base[1] if base else "")):
                refused = parvis(*words, folder=migrated)
                assert refused.returncode == 1 and "this instance runs: stop it first" in refused.stderr
    finally:
        serving.send_signal(stop)
        _, said = serving.communicate(timeout=30)
    assert serving.returncode in (0, -stop)
    assert not TRACE.search(said)


def test_a_backup_is_not_overwritten_and_a_database_with_accounts_not_replaced(migrated: Path) -> None:
    assert parvis("db", "backup", "copy.db", folder=migrated).stdout == "copy.db\n"
    assert parvis("db", "backup", "copy.db", folder=migrated).returncode == 1
    assert parvis("db", "restore", "absent.db", folder=migrated).returncode == 1
    assert parvis("db", "restore", "parvis.toml", folder=migrated).returncode == 1
    assert parvis("db", "restore", "copy.db", folder=migrated).returncode == 0


def test_the_doctor_lists_what_is_wrong_and_fails(instance: Path) -> None:
    done = parvis("doctor", "--json", folder=instance)
    findings = {row["about"]: row["state"] for row in json.loads(done.stdout)}
    assert done.returncode == 1
    assert (findings["data"], findings["secret"], findings["database"]) == ("fault", "fault", "fault")


def test_a_closed_pipe_is_no_fault(instance: Path) -> None:
    line = f"'{PARVIS}' doctor --json | true"
    done = subprocess.run(["sh", "-c", line], cwd=instance, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.stderr == ""
