"""Changes the openness of a space from another process, as a deploy script does: `python -m tests.federation.declare`.

usage: declare CONFIG SLUG LEVEL [HOST …]
"""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

from server.actions.openness import Door, How, adjust
from server.commands.opening import opened
from server.openness import Level
from server.queries import spaces
from server.settings import load
from server.space_policy import PartnerTerms, SpacePolicy, reset_outside
from server.viewer import Operator


async def declare(config: Path, slug: str, level: Level, hosts: list[str]) -> None:
    async with opened(load(config, {})):
        space = await spaces.find(Operator(), slug)
        partners = tuple(PartnerTerms(host) for host in sorted(hosts))

        def alter(policy: SpacePolicy) -> SpacePolicy:
            return reset_outside(replace(policy, level=level, partners=partners))

        await adjust(Operator(), space.id, How(Door.FILE, source="tests"), alter)


if __name__ == "__main__":
    asyncio.run(declare(Path(sys.argv[1]), sys.argv[2], Level(sys.argv[3]), sys.argv[4:]))
