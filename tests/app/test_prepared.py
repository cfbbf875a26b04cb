"""What the first request of its kind would make is there before the first request."""

import subprocess
import sys
from pathlib import Path

from postbell.web.words import LANGUAGES
from tests.cli.running import LIMIT_S

SERVE = """
import asyncio, sys
from pathlib import Path
from postbell.ingest import user_agents
from postbell.app import serve
from postbell.settings.values import Address
from postbell.settings.members import Settings
from postbell.web import words

stop = asyncio.Event()

def ready(_url):
    print(user_agents.tables.cache_info().currsize, words.of.cache_info().currsize)
    stop.set()

settings = Settings(data_dir=Path(sys.argv[1]), listen=Address("127.0.0.1", 0))
asyncio.run(serve(settings, "api", ready=ready, stop=stop))
"""


def test_tables_and_languages_are_there_when_it_is_ready(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SERVE, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT_S,
    )

    assert done.stdout.split() == ["1", str(len(LANGUAGES))]
