"""Style sheet, script and icon: from memory, under URLs that change with their content."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from postbell.web.site import Site

TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
FOR_EVER = "public, max-age=31536000, immutable"


def routes(site: Site) -> list[Route]:
    """Return the route of the static files."""

    async def serve(request: Request) -> Response:
        name = request.path_params["name"]
        content = site.pages.assets.get(name)
        if content is None or request.url.path != site.pages.asset(name):
            return Response("no such file; reload the page", 404, {"cache-control": "no-store"})
        kind = TYPES.get(name.rpartition(".")[2], "application/octet-stream")
        headers = {"cache-control": FOR_EVER, "x-content-type-options": "nosniff"}
        return Response(content, headers=headers, media_type=kind)

    return [Route("/static/{hash}/{name}", serve, methods=["GET"])]
