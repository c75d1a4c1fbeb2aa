"""Answers that are remembered for a short time."""

from __future__ import annotations

from ..answers import Resolved


class Cache:
    """The answers of the last `staleness_s`, bounded in number. The oldest goes first.

    An answer's age counts from the sending of its request: the server may have read it right then.
    """

    def __init__(self, entries: int, staleness_s: float) -> None:
        self.is_on = entries > 0 and staleness_s > 0
        self._most = entries
        self._staleness_s = staleness_s
        self._answers: dict[tuple[int, str], tuple[Resolved[str], float]] = {}
        self._last_write = float("-inf")

    def get(self, project: int, id: str, now: float) -> Resolved[str] | None:
        """The answer, if it is young enough."""
        found = self._answers.get((project, id))
        if found is None:
            return None
        if now >= found[1]:
            del self._answers[(project, id)]
            return None
        return found[0]

    def put(self, project: int, id: str, answer: Resolved[str], sent_at: float) -> None:
        """Remembers an answer."""
        # A write of this client ended since the request was sent: the answer may be from before it.
        if sent_at <= self._last_write:
            return
        key = (project, id)
        # Taken out first, so that the order of the dictionary is that of age.
        self._answers.pop(key, None)
        while len(self._answers) >= self._most:
            del self._answers[next(iter(self._answers))]
        self._answers[key] = (answer, sent_at + self._staleness_s)

    def wrote(self, now: float) -> None:
        """A write of this client, which must see it, begins or ends."""
        self._answers.clear()
        self._last_write = now
