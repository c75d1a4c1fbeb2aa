"""Two limits on requests that are sent more than once. Both count in whole parts, so that sums are exact."""

from __future__ import annotations

# In tenths of a repeat.
_A_REPEAT = 10
_MOST_REPEATS = 100
_A_SUCCESS = 1

# In twentieths of a hedge.
_A_HEDGE = 20
_MOST_HEDGES = 100


class RetryBudget:
    """Pays for repeats: 10 to begin with and at most, 0.1 more for each success.

    In an outage the client so sends a tenth more than it would without repeats, not four times as much.
    (After the retry throttling of gRPC, gRFC A6.)
    """

    def __init__(self) -> None:
        self._left = _MOST_REPEATS

    def succeeded(self) -> None:
        """A request was answered."""
        self._left = min(_MOST_REPEATS, self._left + _A_SUCCESS)

    def take(self) -> bool:
        """Whether one repeat may be sent. It is paid for then."""
        if self._left < _A_REPEAT:
            return False
        self._left -= _A_REPEAT
        return True


class HedgeBudget:
    """Pays for hedges: one in 20 batches at most, and no more than five are saved up."""

    def __init__(self) -> None:
        self._left = 0

    def sent(self) -> None:
        """A batch was sent for the first time."""
        self._left = min(_MOST_HEDGES, self._left + 1)

    def take(self) -> bool:
        """Whether a second request may be sent. It is paid for then."""
        if self._left < _A_HEDGE:
            return False
        self._left -= _A_HEDGE
        return True
