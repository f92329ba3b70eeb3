"""`python -m darts_lab`: the command line, so that torchrun can start it."""

import sys

from darts_lab.cli import main

if __name__ == "__main__":
    sys.exit(main())
