"""Follow the feed and keep events in SQLite: position and events change together, or not at all.

POSTBELL_URL, API_USER and API_KEY say where and who; `consume.py FILE [ROUNDS]`.
"""

import json
import os
import sqlite3
import sys
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode

REFUSED = ("position_ahead", "position_other")
"""The log was restored from a backup, and lacks what was read, or has other events there."""


def fetch(**place: str) -> dict:
    """Return the next page; it comes with the next event, or after 20 seconds."""
    query = urllib.parse.urlencode({**place, "limit": 500, "wait": 20})
    url = f"{os.environ['POSTBELL_URL']}/api/v1/feed?{query}"
    request = urllib.request.Request(url)  # noqa: S310  # the address is your own
    credentials = f"{os.environ['API_USER']}:{os.environ['API_KEY']}"
    request.add_header("Authorization", "Basic " + b64encode(credentials.encode()).decode())
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310  # as above
        return json.load(response)


def next_page(database: sqlite3.Connection) -> dict:
    """Return the page after what was read; where that is of another log, what was accepted since
    the last event."""
    found = database.execute("SELECT after FROM place").fetchone()
    try:
        return fetch(after=found[0] if found else "oldest")
    except urllib.error.HTTPError as error:
        if error.code != 400 or json.load(error)["code"] not in REFUSED:
            raise
    last = database.execute("SELECT max(json_extract(body, '$.recorded_at')) FROM events")
    since = last.fetchone()[0]
    return fetch(since=since) if since else fetch(after="oldest")


def consume(path: str, rounds: float) -> None:
    """Take in page after page, *rounds* of them."""
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE IF NOT EXISTS events (event_id PRIMARY KEY, body)")
    database.execute("CREATE TABLE IF NOT EXISTS place (id PRIMARY KEY, after)")
    while rounds > 0:
        page = next_page(database)
        with database:
            database.executemany(
                "INSERT OR IGNORE INTO events VALUES (?, ?)",
                [(event["event_id"], json.dumps(event)) for event in page["events"]],
            )
            database.execute("INSERT OR REPLACE INTO place VALUES (1, ?)", (page["next"],))
        if page["lost"]:
            print(f"retention dropped {page['lost']} events before they were read", file=sys.stderr)
        rounds -= 1
    database.close()


if __name__ == "__main__":
    consume(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else float("inf"))
