"""`./do chaos [--seed N] [--minutes M] [--crowd WEBHOOKS]`: disturb the real service until the time
is over; `--engine postgres [--apis N] [--workers N]`: on two servers, which are disturbed, too;
`--power-loss`: record it, and look at what losses of power leave of it."""

import argparse
import asyncio
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.chaos.cluster import Cluster
from tests.chaos.run import Run
from tests.powerloss import rounds


def main() -> int:
    """Return 0 where every promise held, 1 where one did not."""
    parser = argparse.ArgumentParser(prog="./do chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--power-loss", action="store_true")
    parser.add_argument("--engine", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--crowd", type=int, default=0, metavar="WEBHOOKS")
    parser.add_argument("--apis", type=int, default=2)
    parser.add_argument("--workers", type=int, default=3)
    options = parser.parse_args()
    if options.engine == "postgres" and options.crowd:
        parser.error("a crowd is of --engine sqlite")
    if min(options.apis, options.workers) < 1:
        parser.error("it takes one API and one worker at least")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    if options.power_loss:
        return _lose_power(options.seed, options.minutes)
    return _disturb(options)


def _disturb(options: argparse.Namespace) -> int:
    seed, minutes, is_on_postgres = options.seed, options.minutes, options.engine == "postgres"
    folder = Path(tempfile.mkdtemp(prefix="postbell-chaos-"))
    cluster = Cluster(options.apis + options.workers) if is_on_postgres else None
    run = Run(seed, minutes, folder, _say, crowd=options.crowd, cluster=cluster, apis=options.apis)
    try:
        _say(f"seed {seed}, {minutes:g} minutes, disk: {(cluster or run.disk).title}")
        report = asyncio.run(run.go())
        print(report)
        for problem in report.problems:
            print(f"problem: {problem}")
        if report.problems:
            kept = folder.with_name(folder.name + "-kept")
            shutil.copytree(folder, kept, ignore=shutil.ignore_patterns("filler"))
            again = f"--seed {seed} --minutes {minutes:g} --crowd {options.crowd}"
            if cluster:
                again += f" --engine postgres --apis {options.apis} --workers {options.workers}"
            print(f"again: ./do chaos {again}")
            print(f"kept: {kept}")
    finally:
        run.disk.close()
        if cluster:
            cluster.close()
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if report.problems else 0


def _lose_power(seed: int, minutes: float) -> int:
    folder = Path(tempfile.mkdtemp(prefix="postbell-power-loss-"))
    _say(f"seed {seed}, {minutes:g} minutes")
    problems = rounds.go(seed, minutes, folder, _say)
    for problem in problems:
        print(f"problem: {problem}")
    if problems:
        print(f"again: ./do chaos --power-loss --seed {seed} --minutes {minutes:g}")
        print(f"kept: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


def _stop(number: int, frame: object) -> None:
    """End as by Ctrl-C, so that the disk is unmounted and the service killed."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
