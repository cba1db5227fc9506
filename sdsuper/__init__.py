"""sdsuper: a service manager for Linux that takes Supervisor's place.

Promises: importing the package costs nothing; only the version is here.
"""

VERSION = "0.1.0"
