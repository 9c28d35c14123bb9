"""An operator who stays at their terminal: commands of one instance, one after another, in one process.

usage: python -m tests.federation.operate CONFIG; each line of stdin is a JSON list of words, each line of stdout the
answer [exit code, stdout, stderr]. `declare SLUG LEVEL [HOST …]` is as in `declare`; everything else is `parvis`.
Starting Python for each of hundreds of commands would take most of the time of a play.
"""

import asyncio
import io
import json
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

from server.openness import Level
from tests.federation.declare import declare
from web.cli import main


@dataclass
class Operator:
    """The other end, for tests. `environment` is the process's."""

    config: Path
    environment: dict[str, str] | None = None
    _process: asyncio.subprocess.Process | None = None
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self, *words: str) -> tuple[int, str, str]:
        """(exit code, stdout, stderr) of a command."""
        async with self._turn:
            process = self._process or await self._come()
            self._process = None  # whoever gives up in the middle leaves no answer for the next one
            assert process.stdin is not None and process.stdout is not None
            try:
                process.stdin.write(json.dumps(words).encode() + b"\n")
                await process.stdin.drain()
                code, out, err = json.loads(await process.stdout.readline())
            except BaseException:
                process.kill()
                await process.wait()
                raise
            self._process = process
            return code, out, err

    async def _come(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.federation.operate", str(self.config),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 24, env=self.environment,
        )  # fmt: skip

    async def leave(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            await self._process.wait()
            self._process = None


def done(config: Path, words: list[str]) -> tuple[int, str, str]:
    """One command."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    with redirect_stdout(out), redirect_stderr(err):
        try:
            if words[0] == "declare":
                asyncio.run(declare(config, words[1], Level(words[2]), words[3:]))
                code = 0
            else:
                code = main([*words, "--config", str(config)])
        except SystemExit as end:
            code = int(end.code or 0)
        except Exception:
            traceback.print_exc()
            code = 1
    return code, _text(out), _text(err)


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(done(Path(sys.argv[1]), json.loads(line))), flush=True)
