"""The HTTP face: ingest, the native API and the providers' management APIs, as one ASGI app."""

from postbell.api.root import build

__all__ = ["build"]
