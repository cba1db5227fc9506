"""`python -m sdsuper` is `sdsuper`."""

import sys

from sdsuper.cli import main

if __name__ == "__main__":
    sys.exit(main())
