"""Many images of one recording, looked at by as many processes as there are cores."""

import contextlib
import io
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import count as numbers
from pathlib import Path

from tests.powerloss import served
from tests.powerloss.checking import Image, look, start
from tests.powerloss.images import images
from tests.powerloss.recorded import Recording

Look = Callable[[Image, dict[str, bytes]], list[str]]

_bodies: dict[str, bytes] = {}


def campaign(
    found: Recording, folder: Path, count: int, seed: int, *, since: int = 1, start_every: int = 0
) -> list[str]:
    """Look at *count* images of *found*, below *folder*, at moments from call *since* on; return
    what was wrong, each with its image.

    Every *start_every*th is served by a real process, with 0 none.  An image with which something
    is wrong stays where it is, as the loss of power left it.
    """
    folder.mkdir()
    problems: list[str] = []
    ways = (start if start_every and number % start_every == 1 else look for number in numbers())
    jobs = zip(images(found, folder, count, seed, since=since), ways, strict=False)
    for image, wrong in _looked_at(jobs, found.bodies):
        problems += [f"{image.folder.name}: {problem}" for problem in wrong]
    return problems


def _looked_at(
    jobs: Iterable[tuple[Image, Look]], bodies: dict[str, bytes]
) -> Iterator[tuple[Image, list[str]]]:
    """Yield each image with what is wrong with it; no more of them exist than are looked at."""
    workers = os.cpu_count() or 1
    served.begin()
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(workers, context, _begin, (bodies,)) as pool:
        running: dict[Future[list[str]], Image] = {}
        for image, way in jobs:
            running[pool.submit(_look_at, image, way)] = image
            if len(running) > workers:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield running.pop(future), future.result()
        for future in list(running):
            yield running.pop(future), future.result()


def _begin(bodies: dict[str, bytes]) -> None:
    _bodies.update(bodies)


def _look_at(image: Image, way: Look) -> list[str]:
    """Look at a copy, and keep the image where something is wrong with it."""
    copy = image.folder.with_name(image.folder.name + "-used")
    shutil.copytree(image.folder, copy)
    with contextlib.redirect_stderr(io.StringIO()):  # what the engine's parts log
        problems = way(image._replace(folder=copy), _bodies)
    shutil.rmtree(copy)
    if not problems:
        shutil.rmtree(image.folder)
    return problems
