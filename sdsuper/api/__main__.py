"""`python -m sdsuper.api`: the HTTP face, as the daemon starts it."""

import sys

from sdsuper.api.face import main

sys.exit(main())
