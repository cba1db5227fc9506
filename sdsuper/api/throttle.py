"""How often somebody may guess a password: token buckets, one for each peer and one for all that have guessed wrongly.

A peer has FREE wrong tries, then one for every SECONDS_EACH. All peers that have been wrong lately share ALL_FREE tries
and the same pace on top. A peer that has not been wrong is heard whatever they do, so guessing elsewhere locks nobody
out; only all such peers together have a limit, too, for some people have many addresses.

Promises: a bounded memory; a right password costs nothing. Must not: know what is tried, or read a clock (it is given
the time, in monotonic seconds).
"""

from collections import OrderedDict

FREE, ALL_FREE = 5, 8
SECONDS_EACH = 6.0          # 10 a minute
NEW_FREE, NEW_SECONDS_EACH = 60, 0.5        # of peers that have not been wrong lately
FORGOTTEN = 600.0           # seconds after which a peer counts as one that was never wrong
PEERS = 1024                # that are remembered; the ones that were wrong longest ago are forgotten first


class Bucket:
    """Tokens that come back with time, one for each `seconds`."""

    __slots__ = ("_level", "_seconds", "_since", "_size")

    def __init__(self, size: int, now: float, seconds: float = SECONDS_EACH) -> None:
        self._size, self._level, self._since, self._seconds = size, float(size), now, seconds

    def delay(self, now: float) -> float:
        """Seconds until a token is there; 0: there is one."""
        self._level = min(self._size, self._level + (now - self._since) / self._seconds)
        self._since = now
        return max(0.0, (1.0 - self._level) * self._seconds)

    def take(self) -> None:
        """Take one. To be called after `delay` said 0."""
        self._level -= 1.0

    def give_back(self) -> None:
        """It was not needed."""
        self._level = min(self._size, self._level + 1.0)


class Throttle:
    """Who may try. `ask`, then `right` if it was."""

    def __init__(self) -> None:
        self._peers: OrderedDict[str, tuple[Bucket, float]] = OrderedDict()     # and when it tried last
        self._all: Bucket | None = None
        self._new: Bucket | None = None

    def ask(self, peer: str, now: float) -> float:
        """Seconds to wait before `peer` may try; 0: it may now, and is taken to be wrong until `right` is called."""
        if self._all is None or self._new is None:
            self._all, self._new = Bucket(ALL_FREE, now), Bucket(NEW_FREE, now, NEW_SECONDS_EACH)
        own, last = self._peers.get(peer, (None, 0.0))
        known = own is not None and now - last < FORGOTTEN
        if own is None or not known:
            own = Bucket(FREE, now)
        all_delay = self._all.delay(now)
        delay = max(own.delay(now), all_delay) if known else self._new.delay(now)
        if delay == 0.0:
            own.take()
            if not known:
                self._new.take()
            if all_delay == 0.0:
                self._all.take()
            self._peers[peer] = own, now
            self._peers.move_to_end(peer)
            if len(self._peers) > PEERS:
                self._peers.popitem(last=False)
        return delay

    def right(self, peer: str) -> None:
        """The try was right and does not count; nor do the wrong ones before it."""
        self._peers.pop(peer, None)
        self._give_back()

    def untried(self, peer: str) -> None:
        """What was asked for was not tried after all."""
        if peer in self._peers:
            self._peers[peer][0].give_back()
        self._give_back()

    def _give_back(self) -> None:
        for bucket in (self._all, self._new):
            if bucket is not None:
                bucket.give_back()
