"""media/*: files on their way to a post. Bytes go to the disk while they arrive, never into memory as a whole."""

from collections.abc import AsyncGenerator

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import Response

from server import files
from server.actions import attachments as verbs
from server.errors import Invalid, TooLarge
from server.limits import DESCRIPTION_BYTES, DOCUMENT_BYTES, UPLOAD_BYTES
from server.queries import attachments
from server.refusals import N_
from server.settings import Settings
from web.api import present
from web.api.calls import Call, json
from web.api.fields import NOT_A_FORM, Fields, read

NO_FILE = N_("« file » manque : joignez un fichier.")
MOST_FIELDS = 10
MOST_BYTES = UPLOAD_BYTES + DOCUMENT_BYTES
"""The file, and the form around it."""


async def bring(call: Call) -> Response:
    """`POST /api/v1/media` and `/api/v2/media`: the file is there when the answer is."""
    settings: Settings = call.request.app.state.settings
    async with _Form(call.request) as form:
        upload = form.get("file")
        if not isinstance(upload, UploadFile):
            raise Invalid(NO_FILE, field="file")
        description = Fields({"description": form.getlist("description")}).text("description", DESCRIPTION_BYTES)
        file_id = await verbs.take_in(
            call.me, settings.files_dir, upload.file, UPLOAD_BYTES, upload.filename or "", description
        )
    return json(present.attachment(await attachments.find(call.me, file_id), call.here))


async def show(call: Call) -> Response:
    return json(present.attachment(await attachments.find(call.me, call.id()), call.here))


async def describe(call: Call) -> Response:
    """Only the owner, only before a post carries it."""
    fields = await read(call.request)
    await verbs.describe(call.me, call.id(), fields.text("description", DESCRIPTION_BYTES))
    return json(present.attachment(await attachments.find(call.me, call.id()), call.here))


class _Form:
    """A form with one file, spooled to the disk and gone again when the block ends."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._form: FormData | None = None

    async def __aenter__(self) -> FormData:
        declared = self._request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared[:15]) > MOST_BYTES:
            raise _too_large()
        if not self._request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            raise Invalid(NO_FILE, field="file")
        parser = MultiPartParser(self._request.headers, _counted(self._request), max_files=1, max_fields=MOST_FIELDS)
        try:
            self._form = await parser.parse()
        except (MultiPartException, KeyError, ValueError):
            raise Invalid(NOT_A_FORM) from None
        return self._form

    async def __aexit__(self, *_: object) -> None:
        if self._form is not None:
            await self._form.close()


async def _counted(request: Request) -> AsyncGenerator[bytes, None]:
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > MOST_BYTES:
            raise _too_large()
        yield piece


def _too_large() -> TooLarge:
    return TooLarge(files.FILE_TOO_LARGE, params={"limit": UPLOAD_BYTES // (1024 * 1024)})
