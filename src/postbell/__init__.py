"""Postbell rings your URL when something happens to your mail."""

__version__ = "0.1.0"
