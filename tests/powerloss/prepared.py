"""Imported by the process that services are forked off, and by no other."""

import tests.powerloss.checking  # noqa: F401  # for those that look at images
from tests.forked import prepare_starts

prepare_starts()
