"""Run every check of the documents and tracked files; complain on stderr and exit with 1.

python -m tools.check_docs
"""

import sys
from pathlib import Path

from tools.checks import CHECKS


def main() -> int:
    root = Path(__file__).parent.parent
    complaints = [f"{name}: {text}" for name, check in CHECKS.items() for text in check(root)]
    print("\n".join(complaints), end="\n" if complaints else "", file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
