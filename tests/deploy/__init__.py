"""What `deploy/` holds, tried with the programs that it is for."""

import re
from pathlib import Path

from postbell.settings.members import SETTINGS
from postbell.settings.tables import TABLES
from postbell.settings.values import PREFIX

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
KNOWN = {row.variable for row in SETTINGS if row.name not in TABLES} | {PREFIX + "CONFIG"}


def unknown_settings(text: str) -> set[str]:
    """Return what looks like a setting in *text* and is none."""
    return set(re.findall(rf"\b{PREFIX}[A-Z_]*[A-Z]\b", text)) - KNOWN
