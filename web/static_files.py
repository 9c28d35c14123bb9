"""Our own scripts, styles and faces: served from the package, under an address that changes with their bytes."""

import hashlib
from functools import cache
from pathlib import Path

from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

STATIC = Path(__file__).with_name("static")


@cache
def versioned(name: str) -> str:
    """The address of a static file, with a mark of its bytes so that it may be kept for ever."""
    mark = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={mark}"


def mount() -> Mount:
    return Mount("/static", StaticFiles(directory=STATIC), name="static")
