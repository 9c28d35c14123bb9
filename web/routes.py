"""Every page, on one page."""

from starlette.routing import Route

from web.pages import files, live


def routes() -> list[Route]:
    """The addresses of the pages, in the order in which they are tried."""
    return [
        Route("/live", live.stream, name="live"),
        Route("/media/{id}/{name:path}", files.media, name="media"),
    ]
