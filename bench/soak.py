"""What memory does while events come in evenly for a long time.

    python -m bench.soak [--rate R] [--minutes M] [--every S] [--data DIR]

Starts the real `postbell serve`, with a webhook of each dialect that differs in how it sends and a
receiver for all, posts R single events a second, half of them over new connections, and prints a
line of JSON every S seconds: resident memory (*anon_mib* is that of the process alone, *file_mib*
mapped files), events sent and received, and the size of the data folder.  The last line says by
how much memory grew in the second half.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import proc
from bench.children import Child
from bench.service import AUTHORIZATION, Service

DIALECTS = ("native", "sendpulse", "engagelab")
FOREVER = 1 << 40


def resident(pid: int) -> dict[str, float]:
    """Return the tree's resident memory in MiB."""
    names = {"VmRSS:": "rss_mib", "RssAnon:": "anon_mib", "RssFile:": "file_mib"}
    found = dict.fromkeys(names.values(), 0.0)
    for each in proc.tree(pid):
        for line in Path(f"/proc/{each}/status").read_text().splitlines():
            name, _, rest = line.partition("\t")
            if name in names:
                found[names[name]] += int(rest.split()[0]) / 1024
    return {name: round(value, 1) for name, value in found.items()}


def look(service: Service, folder: Path, began: float) -> dict[str, Any]:
    """Return what there is to be said now."""
    sizes = {each.name: each.stat().st_size for each in folder.rglob("*") if each.is_file()}
    return {
        "minutes": round((time.monotonic() - began) / 60, 2),
        **resident(service.pid),
        "cpu_s": round(proc.cpu_us(service.pid) / 1e6, 1),
        "database_mib": round(sizes.get("postbell.db", 0) / (1 << 20), 1),
        "wal_mib": round(sizes.get("postbell.db-wal", 0) / (1 << 20), 1),
    }


def soak(folder: Path, rate: float, minutes: float, every_s: float) -> None:
    """Run, and print a line every so often."""
    looks = []
    with Service(folder) as service, Child("sink", str(FOREVER), "event") as sink:
        url = f"http://127.0.0.1:{sink.line().strip()}/"
        for dialect in DIALECTS:
            service.create_webhook(url=url + dialect, dialect=dialect)
        requests = int(rate * minutes * 60)
        steady = Child(
            "steady", service.url, f"--authorization={AUTHORIZATION}",
            f"--requests={requests}", f"--rate={rate}", "--run=soak",
        )  # fmt: skip
        with steady:
            began = time.monotonic()
            while time.monotonic() < began + minutes * 60:
                looks.append(look(service, folder, began))
                print(json.dumps(looks[-1]), flush=True)
                time.sleep(every_s)
    half = looks[len(looks) // 2 :]
    grown = half[-1]["anon_mib"] - half[0]["anon_mib"]
    summary = {"half_mib": half[0]["anon_mib"], "end_mib": half[-1]["anon_mib"]}
    print(json.dumps({**summary, "grown_mib": round(grown, 1)}), flush=True)


if __name__ == "__main__":
    given = argparse.ArgumentParser()
    given.add_argument("--rate", type=float, default=300.0)
    given.add_argument("--minutes", type=float, default=30.0)
    given.add_argument("--every", type=float, default=10.0)
    given.add_argument("--data", type=Path)
    options = given.parse_args()
    with tempfile.TemporaryDirectory(prefix="postbell-soak-", dir=options.data) as name:
        soak(Path(name), options.rate, options.minutes, options.every)
