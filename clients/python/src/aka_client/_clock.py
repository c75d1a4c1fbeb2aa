"""The clock of the client."""

from __future__ import annotations

import time

if hasattr(time, "CLOCK_BOOTTIME"):

    def now() -> float:
        """Seconds, those of a suspended machine too: a remembered answer gets old meanwhile."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:  # pragma: no cover
    now = time.monotonic
