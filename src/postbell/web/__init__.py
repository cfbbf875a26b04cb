"""The pages for people: settings, webhooks, batches, dashboard; rendered here, no script needed.

A module per page, each with `routes(site)`; `routes` gathers them and `app` mounts the result.
"""

from starlette.routing import BaseRoute

from postbell.web import (
    account,
    api_settings,
    batches,
    dashboard,
    live,
    login,
    operator,
    search,
    second_factor,
    sessions,
    sources,
    static,
    suppressions,
    timeline,
    trail,
    webhook_keys,
    webhooks,
)
from postbell.web.page import lost_page, refused_page
from postbell.web.site import Site

PAGES = (
    login,
    dashboard,
    webhooks,
    webhook_keys,
    batches,
    search,
    timeline,
    suppressions,
    live,
    api_settings,
    account,
    sessions,
    second_factor,
    trail,
    operator,
    sources,
)


def routes(site: Site) -> list[BaseRoute]:
    """Return the routes of every page and of the static files."""
    return [route for page in (static, *PAGES) for route in page.routes(site)]


__all__ = ["Site", "lost_page", "refused_page", "routes"]
