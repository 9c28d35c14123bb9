"""kill -9 of the process that sends, in the moment between a mail that was taken and our note of it; and the command
that a mail server calls, as it calls it.
"""

import asyncio
import sys
from pathlib import Path

import pytest

from server import database as db
from server.settings import Settings
from tests.cast import gather, say
from tests.unit.web.mail.office import Office, address_all, open_office, settings_for, text_of, time_passes

pytestmark = pytest.mark.anyio
PARVIS = str(Path(sys.executable).with_name("parvis"))


def written(settings: Settings, folder: Path) -> Path:
    file = folder / "parvis.toml"
    lines = {
        "base_url": settings.base_url,
        "database_url": settings.database_url,
        "data_dir": str(folder),
        "smtp_url": settings.smtp_url,
        "mail_replies": settings.mail_replies,
    }
    file.write_text("".join(f'{key} = "{value}"\n' for key, value in lines.items()) + 'federation = "off"\n')
    return file


class Deadly(Office):
    """Takes a mail, and kills whoever sent it before they hear so."""

    victim: asyncio.subprocess.Process | None = None

    async def handle_DATA(self, server: object, session: object, envelope: object) -> str:
        answer = await super().handle_DATA(server, session, envelope)  # type: ignore[arg-type]
        if self.victim is not None:
            self.victim.kill()
            await self.victim.wait()
            self.victim = None
        return answer


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_I6_a_mail_that_goes_twice_is_the_same_mail_and_all_others_go_once(database: str, tmp_path: Path) -> None:
    async with open_office(kind=Deadly) as office:
        assert isinstance(office, Deadly)
        settings = settings_for(office, database, tmp_path, mail_replies="reponse@aubrac.test")
        file = written(settings, tmp_path)
        cast = await gather()
        await address_all()
        await say(cast.alice, "@bruno et @odile un mot")
        await time_passes()
        for doomed in (True, False):
            process = await asyncio.create_subprocess_exec(PARVIS, "worker", "--config", str(file))
            office.victim = process if doomed else None
            async with asyncio.timeout(20):
                if doomed:
                    await process.wait()
                    continue
                while await db.fetch("SELECT id FROM notice WHERE mail_due_at IS NOT NULL"):
                    await asyncio.sleep(0.05)
                process.terminate()
                assert await process.wait() == 0
        first = office.taken[0][0]
        again = [message["Message-ID"] for message in office.messages(first)]
        assert len(again) == 2 and len(set(again)) == 1
        assert len(office.taken) == 3, "the other mail went once"
        reply = str(office.messages("bruno@courriel.test")[0]["Reply-To"])
        assert "un mot" in text_of(office.messages("bruno@courriel.test")[0])
        done = await asyncio.create_subprocess_exec(
            PARVIS, "mail", "receive", f"--recipient={reply}", "--sender=eve@inconnu.test", "--config", str(file),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await done.communicate(b"From: eve@inconnu.test\n\noui")
        assert (done.returncode, out) == (77, b"")
        assert err.decode().startswith("Votre réponse n’est pas publiée"), "it goes back with the reason"
        assert await db.fetch("SELECT id FROM post WHERE author_id = $1", cast.bruno.actor_id) == []
