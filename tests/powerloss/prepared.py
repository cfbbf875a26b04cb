"""Imported by the process that services are forked off, and by no other."""

from tests.forked import prepare_starts

prepare_starts()
