"""The demo's own folder: held by one process, known by a file, emptied only of what the demo put there.

`demo.lock` says whose folder it is; `demo.json` is written last, so a story that was cut short is told afresh.
"""

import contextlib
import fcntl
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from server.credentials import make_secret
from server.migrating import migrate
from server.settings import Settings, load
from server.terminal import Failure
from web.demo.story import Company

LOCK = "demo.lock"
TOLD = "demo.json"
LOOPBACK = ("127.0.0.0/8", "::1/128")


@dataclass(frozen=True, slots=True)
class Told:
    """What a finished demo knows of itself."""

    ports: Sequence[int]
    words: str


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """The folder is this process's alone. Raises Failure for a folder of something else, and while another holds it."""
    lock = folder / LOCK
    if folder.exists() and not lock.exists() and any(folder.iterdir()):
        raise Failure(f"{folder} is not a folder of the demo, and not empty: name another with --dir.")
    folder.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure(f"another demo runs in {folder}: stop it, or name another folder with --dir.") from None
        yield


def read(folder: Path) -> Told | None:
    """What was told here to the end, or None."""
    try:
        told = json.loads((folder / TOLD).read_text(encoding="utf-8"))
        return Told(tuple(told["ports"]), str(told["words"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def mark(folder: Path, told: Told) -> None:
    """Says, whole or not at all, that the story is told."""
    draft = folder / f"{TOLD}.part"
    draft.write_text(json.dumps({"ports": told.ports, "words": told.words}), encoding="utf-8")
    draft.replace(folder / TOLD)


def clear(folder: Path, companies: Sequence[Company]) -> None:
    """Takes away what the demo put here; the mark first, so that half of it is never taken for the whole."""
    (folder / TOLD).unlink(missing_ok=True)
    for company in companies:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder / company.key)


def config_of(folder: Path, company: Company) -> Path:
    return folder / company.key / "parvis.toml"


def log_of(folder: Path, company: Company) -> Path:
    return folder / company.key / "log"


async def install(folder: Path, company: Company, port: int) -> Settings:
    """Settings, secret and tables of one instance; what is there already stays."""
    config = config_of(folder, company)
    config.parent.mkdir(exist_ok=True)
    if not config.exists():
        config.write_text(_written(company, port), encoding="utf-8")
    settings = load(config, {})
    make_secret(settings, sealed_keys_exist=False)
    await migrate(settings.database_url, settings.data_dir)
    return settings


def _written(company: Company, port: int) -> str:
    said = {
        "base_url": f"http://localhost:{port}",
        "name": company.name,
        "port": port,
        "federation": "linked",
        "allow_private_networks": list(LOOPBACK),
        "default_language": company.language,
    }
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in said.items()]
    return "\n".join(["# One of the two instances of “parvis demo”.", *lines, ""])
