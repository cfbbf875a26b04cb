"""Everything the native API does, in the order in which it is told."""

from postbell.api import (
    batches,
    catalogue,
    replays,
    return_paths,
    searching,
    sources,
    suppressions,
    trail,
    users,
    webhooks,
)
from postbell.api.operations import Operation

OPERATIONS: tuple[Operation, ...] = (
    *searching.OPERATIONS,
    *webhooks.OPERATIONS,
    *batches.OPERATIONS,
    *replays.OPERATIONS,
    *users.OPERATIONS,
    *sources.OPERATIONS,
    *suppressions.OPERATIONS,
    *return_paths.OPERATIONS,
    *trail.OPERATIONS,
    *catalogue.OPERATIONS,
)
