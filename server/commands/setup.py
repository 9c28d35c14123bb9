"""`parvis init`: a new instance."""

import argparse
import os
from pathlib import Path
from typing import Any

from server.installing import Wanted, install
from server.terminal import remark


def register(commands: Any) -> None:
    verb = commands.add_parser("init", help="make a new instance: settings, secret, tables, first administrator")
    verb.add_argument("--base-url", required=True, metavar="URL", help="public origin, such as https://rse.example")
    verb.add_argument("--dir", type=Path, default=Path("."), metavar="DIR", help="where (default: here)")
    verb.add_argument("--name", default="", help="what the instance is called (default: Parvis)")
    verb.add_argument("--database-url", default="", metavar="URL", help="postgres://… (default: an SQLite file)")
    verb.add_argument("--admin", default="admin", metavar="NAME", help="the first administrator (default: admin)")
    verb.set_defaults(alone=init)


async def init(args: argparse.Namespace) -> int:
    made = await install(Wanted(args.base_url, args.dir, args.name, args.database_url, args.admin), os.environ)
    remark(f"{made.config} is written; “parvis serve --config {made.config}” starts it.")
    remark(f"@{made.admin} signs in once, within a day, with this link:")
    print(made.link)
    return 0
