"""`python -m postbell` is the command `postbell`."""

import sys

from postbell.cli import main

if __name__ == "__main__":
    sys.exit(main())
