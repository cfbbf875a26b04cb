"""What chaos asks of the epochs of webhooks: it can fail."""

import pytest

from tests.chaos.holders import Holders
from tests.chaos.witness import Problems


@pytest.mark.parametrize(
    ("looks", "found"),
    [
        ([["1|4|a", "2|9|a"], ["1|5|b", "2|9|a"], ["1|5|b"]], 0),
        ([["1|4|a"], ["1|4|b"]], 1),
        ([["1|4|a"], ["1|3|a"]], 1),
        ([["1|4|a"], [], ["1|4|a"], ["1|6|a"]], 0),
    ],
    ids=["moves", "two of one epoch", "back", "goes on"],
)
def test_an_epoch_has_one_holder_and_never_goes_back(looks: list[list[str]], found: int) -> None:
    holders = Holders(Problems())

    for rows in looks:
        holders.seen(rows)

    assert len(holders._problems) == found
