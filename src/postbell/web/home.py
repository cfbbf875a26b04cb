"""The page at `/`."""

from starlette.responses import Response
from starlette.routing import Route

from postbell.web.page import page
from postbell.web.site import Site
from postbell.web.visit import Visit


def routes(site: Site) -> list[Route]:
    """Return the route of the first page."""
    return [page(site, "/", GET=_show)]


async def _show(visit: Visit) -> Response:
    return visit.render("home.html")
