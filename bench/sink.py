"""The receiver: answers 200 after the last byte, counts events, ends when all have come.

    python -m bench.sink EXPECT MARKER [--arrivals]

Prints its port, then one JSON object when EXPECT events came: an event is one MARKER in a body.
With --arrivals the object maps each event id to its time of arrival (CLOCK_MONOTONIC seconds).
"""

import argparse
import asyncio
import json
import re
import time

import uvloop

from bench import server

_EVENT_ID = re.compile(rb'"event_id":"([^"]+)"')


async def run(expect: int, marker: bytes, keep_arrivals: bool) -> None:
    done = asyncio.Event()
    events = requests = 0
    first = last = 0.0
    arrivals: dict[str, float] = {}

    def received(connection: server.Server, body: bytes) -> None:
        nonlocal events, requests, first, last
        last = time.monotonic()
        first = first or last
        requests += 1
        events += body.count(marker)
        if keep_arrivals:
            for found in _EVENT_ID.finditer(body):
                arrivals.setdefault(found[1].decode(), last)
        connection.answer(server.OK)
        if events >= expect:
            done.set()

    listener, port = await server.listen(received)
    print(port, flush=True)
    await done.wait()
    result = {"events": events, "requests": requests, "first": first, "last": last}
    print(json.dumps(result | {"arrivals": arrivals}), flush=True)
    await asyncio.Event().wait()  # goes on answering until it is ended
    listener.close()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("expect", type=int)
    arguments.add_argument("marker")
    arguments.add_argument("--arrivals", action="store_true")
    given = arguments.parse_args()
    uvloop.run(run(given.expect, given.marker.encode(), given.arrivals))
