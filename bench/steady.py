"""A client that does everything right: posts single events at a steady rate.

    python -m bench.steady URL --authorization A --requests R --rate X --run NAME

Every second request goes over a connection that is kept, the others over new ones.  Prints one
JSON object: how many seconds passed until each answer, counted from when its request was due, and
how many were not 202 in time.
"""

import argparse
import asyncio
import json
import time
from urllib.parse import urlsplit

import uvloop

from bench import client, samples

LIMIT_S = 10.0


class Steady:
    """Posts, and remembers how long each answer took; one that never came took LIMIT_S."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._kept: list[client.Connection] = []
        self._answers: dict[client.Connection, asyncio.Future[int]] = {}
        self.took_s: list[float] = []
        self.failed: dict[str, int] = {}

    async def post(self, request: bytes, due_s: float, *, is_new: bool) -> None:
        """Send a request and note its time."""
        try:
            async with asyncio.timeout(LIMIT_S):
                status = await self._ask(request, is_new=is_new)
            problem = "" if status == 202 else str(status)
        except (OSError, TimeoutError) as error:
            problem = type(error).__name__
        if problem:
            self.failed[problem] = self.failed.get(problem, 0) + 1
        self.took_s.append(LIMIT_S if problem else time.monotonic() - due_s)

    async def _ask(self, request: bytes, *, is_new: bool) -> int:
        connection = None
        while not is_new and self._kept and connection is None:
            last = self._kept.pop()
            connection = None if last.lost.done() else last
        if connection is None:
            connection = await client.connect(self._host, self._port, self._answered)
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._answers[connection] = answer
        is_kept = False
        try:
            connection.send(request)
            await asyncio.wait({answer, connection.lost}, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                raise ConnectionResetError
            is_kept = not is_new
            return answer.result()
        finally:
            del self._answers[connection]
            if is_kept:
                self._kept.append(connection)
            elif connection.transport is not None:
                connection.transport.abort()  # an answer may still come, which nobody waits for

    def _answered(self, connection: client.Connection, status: int, body: bytes) -> None:
        self._answers[connection].set_result(status)


async def run(given: argparse.Namespace) -> None:
    url = urlsplit(given.url)
    host, port = str(url.hostname), int(url.port or 80)
    headers = {"authorization": given.authorization, "content-type": "application/json"}
    steady = Steady(host, port)
    began = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for n, event in enumerate(samples.events(given.run, 0, given.requests)):
            request = client.post("/api/v1/events", f"{host}:{port}", headers, b"[%b]" % event)
            due_s = began + n / given.rate
            pause = due_s - time.monotonic()
            if pause > 0:
                await asyncio.sleep(pause)
            tasks.create_task(steady.post(request, due_s, is_new=n % 2 == 1))
    print(json.dumps({"took_s": steady.took_s, "failed": steady.failed}), flush=True)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("url")
    arguments.add_argument("--authorization", default="")
    arguments.add_argument("--requests", type=int, required=True)
    arguments.add_argument("--rate", type=float, required=True)
    arguments.add_argument("--run", required=True)
    uvloop.run(run(arguments.parse_args()))
