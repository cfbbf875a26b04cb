"""The pages for people: settings, webhooks, batches, dashboard; rendered here, no script needed.

A module per page, each with `routes(site)`; `routes` gathers them and `app` mounts the result.
"""

from starlette.routing import BaseRoute

from postbell.web import home, static
from postbell.web.site import Site

PAGES = (home,)


def routes(site: Site) -> list[BaseRoute]:
    """Return the routes of every page and of the static files."""
    return [route for page in (static, *PAGES) for route in page.routes(site)]


__all__ = ["Site", "routes"]
