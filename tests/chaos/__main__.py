"""`./do chaos [--seed N] [--minutes M]`: disturb the real service until the time is over."""

import argparse
import asyncio
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.chaos.run import Run


def main() -> int:
    """Return 0 where every promise held, 1 where one did not."""
    parser = argparse.ArgumentParser(prog="./do chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--minutes", type=float, default=2.0)
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    folder = Path(tempfile.mkdtemp(prefix="postbell-chaos-"))
    run = Run(options.seed, options.minutes, folder, lambda line: print(line, flush=True))
    try:
        print(f"seed {options.seed}, {options.minutes:g} minutes, disk: {run.disk.title}")
        report = asyncio.run(run.go())
        print(report)
        for problem in report.problems:
            print(f"problem: {problem}")
        if report.problems:
            kept = folder.with_name(folder.name + "-kept")
            shutil.copytree(folder, kept, ignore=shutil.ignore_patterns("filler"))
            print(f"again: ./do chaos --seed {options.seed} --minutes {options.minutes:g}")
            print(f"kept: {kept}")
    finally:
        run.disk.close()
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if report.problems else 0


def _stop(number: int, frame: object) -> None:
    """End as by Ctrl-C, so that the disk is unmounted and the service killed."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
