"""`python -m sdsuper.api`: the HTTP face, as the daemon starts it."""

import ctypes

# Others of the same account shall not look into this process or take its descriptors (PR_SET_DUMPABLE, prctl(2)). First
# of all, before the many imports.
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)

import sys  # noqa: E402

from sdsuper.api.face import main  # noqa: E402

sys.exit(main())
