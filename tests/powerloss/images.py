"""From a recording to many disks after a loss of power, each at a moment that chance chose."""

import random
from collections.abc import Iterator
from pathlib import Path

from tests.powerloss.checking import Image
from tests.powerloss.disk import Disk
from tests.powerloss.recorded import Recording, Told


def images(
    found: Recording, folder: Path, count: int, seed: int, *, since: int = 1
) -> Iterator[Image]:
    """Yield *count* images below *folder*, in the order of their moments, from call *since* on.

    Half of the moments are anywhere; half are where it is tight: right behind an answer, in a sync
    or after it, or where a name changed.
    """
    chance = random.Random(seed)
    end = len(found.calls)
    tight = [at for at in range(since, end) if found.calls[at - 1].kind in "vsecur"]
    moments = sorted(
        chance.choice(tight) if chance.random() < 0.5 else chance.randint(since, end)
        for _ in range(count)
    )
    disk = Disk(found.root)
    told = Told(found)
    taken = 0
    for number, moment in enumerate(moments):
        for call in found.calls[taken:moment]:
            disk.take(call)
            told.take(call)
        taken = moment
        target = folder / f"image-{number}"
        disk.write_to(target, chance)
        yield Image(
            target, tuple(told.acknowledged), tuple(told.last), told.is_set_up, told.webhooks
        )
