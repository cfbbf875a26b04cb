"""How fast one network may open connections: each costs us more than it costs the one who opens
it, with TLS far more, also where it asks for nothing and ends at once."""


class Connects:
    """Buckets of connections, one a network: *burst* of them, filled again at *rate_s* a second.

    Of each bucket that is not full it is known when it will be.  Full ones are forgotten, so
    that there are as many as connections came lately, whatever networks these claim to be of.
    """

    def __init__(self, rate_s: float, burst: int) -> None:
        self._each_s = 1 / rate_s
        self._most_s = burst / rate_s
        self._full_at_s: dict[str, float] = {}

    def may(self, network: str, now_s: float) -> bool:
        """Return whether *network* may open one more now; if so it is counted."""
        full_at_s = max(self._full_at_s.get(network, now_s), now_s) + self._each_s
        if full_at_s - now_s > self._most_s + _ROUNDING_S:
            return False
        self._full_at_s[network] = full_at_s
        return True

    def forget(self, now_s: float) -> None:
        """Forget the buckets that are full."""
        self._full_at_s = {
            network: full_at_s
            for network, full_at_s in self._full_at_s.items()
            if full_at_s > now_s
        }

    def __len__(self) -> int:
        return len(self._full_at_s)


_ROUNDING_S = 1e-6
