"""`parvis`: the index of all commands, gathered from the three packages.

A command is a door like a page: it reads its arguments, calls one verb or one question, prints. The groups
are imported one after another until one knows the command, so that a small one does not wait for the rest.
"""

import argparse
import asyncio
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from federation.errors import FederationError
from server.errors import DomainError
from server.settings import SettingsError, load
from server.terminal import Failure, complain, phrase

GROUPS = (
    "server.commands.people",
    "server.commands.upkeep",
    "server.commands.setup",
    "server.commands.audit",
    "server.commands.space_files",
    "server.commands.explain",
    "server.commands.recalls",
    "federation.commands.spaces",
    "federation.commands.links",
    "federation.commands.moving",
    "federation.commands.deliveries",
    "federation.commands.health",
    "web.mail.commands",
    "web.demo.commands",
    "web.commands",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command. 0: done; 1: failed, with one sentence; 2: wrong usage."""
    words = list(sys.argv[1:] if argv is None else argv)
    if "--traceback" not in words:
        sys.excepthook = _say_fault
    inspect.getsource = _source_of_anything_but_classes  # type: ignore[assignment]  # its parameter has another name
    args = parser_for(words).parse_args(words, argparse.Namespace(translated=english, tongue=tongue))
    os.umask(0o077)  # what a command writes is its owner's
    try:
        code = _run(args)
        sys.stdout.flush()
        return code
    except (SettingsError, Failure) as error:
        complain(str(error))
    except FederationError as error:
        complain(str(error))
    except DomainError as error:
        complain(phrase(error, english))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        complain(f"{error.filename}: {error.strerror}." if error.filename else f"{error}.")
    except KeyboardInterrupt:
        return 130
    return int(getattr(args, "failed", 1))


def parser_for(words: Sequence[str]) -> "Parser":
    """The parser that knows the first command among the words, or all commands when none does."""
    parser = Parser(prog="parvis", description="One instance of Parvis: serve it, declare it, look after it.")
    parser.add_argument("--traceback", action="store_true", help="show where a fault of Parvis came from")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for group in GROUPS:
        importlib.import_module(group).register(commands)
        if _knows(commands, words):
            break
    return parser


def _knows(commands: Any, words: Sequence[str]) -> bool:
    """Whether the first command among the words is there, with its verb when it has verbs."""
    for number, word in enumerate(words):
        if word in commands.choices:
            verbs = _verbs(commands.choices[word])
            return not verbs or any(other in verbs for other in words[number + 1 :])
    return False


def _verbs(parser: argparse.ArgumentParser) -> set[str]:
    actions = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return {name for action in actions for name in action.choices}


class Parser(argparse.ArgumentParser):
    """Every command takes --config, before or after its name."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)
        self.add_argument(
            "--config",
            metavar="FILE",
            type=Path,
            default=argparse.SUPPRESS,
            help="the settings (default: $PARVIS_CONFIG, else ./parvis.toml)",
        )


def config_of(args: argparse.Namespace) -> Path:
    return Path(getattr(args, "config", None) or os.environ.get("PARVIS_CONFIG") or "parvis.toml")


def english(sentence: str) -> str:
    """A sentence of the domain as the command line speaks; the catalogue is read when there is one to say."""
    return str(tongue("en").gettext(sentence))


def tongue(language: str) -> Any:
    """A language that words are spoken in."""
    return importlib.import_module("web.locale").speech(language)


def _run(args: argparse.Namespace) -> int:
    """`alone` verbs make or need no settings; `verb` ones get the settings they work on."""
    if hasattr(args, "alone"):
        result = args.alone(args)
    else:
        result = args.verb(load(config_of(args)), args)
    return asyncio.run(result) if asyncio.iscoroutine(result) else int(result)


def _source_of_anything_but_classes(thing: Any, read: Callable[[Any], str] = inspect.getsource) -> str:
    """Tortoise parses the source of every model, looking for comments: a third of the time of a small command."""
    if isinstance(thing, type):
        raise OSError("sources of classes are not read")
    return read(thing)


def _say_fault(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The last net: what nobody foresaw is one sentence too."""
    last = traceback.extract_tb(trace)[-1]
    place = f"{Path(last.filename).name}:{last.lineno}"
    complain(f"a fault of Parvis itself ({kind.__name__} in {place}); “parvis --traceback …” shows more.")
