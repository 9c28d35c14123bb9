"""`parvis doctor`: what is not right with this instance."""

import argparse
from typing import Any

from federation import doctor
from server.settings import Settings
from server.terminal import listing


def register(commands: Any) -> None:
    verb = commands.add_parser("doctor", help="what is not right, and what to do; exit code 1: a fault")
    verb.add_argument("--json", action="store_true", help="one JSON array")
    verb.set_defaults(verb=examine)


async def examine(settings: Settings, args: argparse.Namespace) -> int:
    findings = await doctor.examine(settings)
    listing([finding._asdict() for finding in findings], args.json)
    return 1 if any(finding.state is doctor.State.FAULT for finding in findings) else 0
