"""The client of aka, which says whether a `distinct_id` is an alias, and of whom.

`Client` is for threads, `aka_client.aio.Client` for asyncio. "Not an alias" and "could not find out" are
never the same answer: the first is a `Resolved`, the second an exception, and no exception holds the id.
"""

from .answers import Alias, BatchCreated, Created, NewAlias, Resolved, Updated
from .client import Client
from .errors import AkaError, Closed, DeadlineExceeded, QueueFull, Refused, Unavailable
from .metrics import Metrics
from .options import Options
from .session import Session

__all__ = [
    "AkaError",
    "Alias",
    "BatchCreated",
    "Client",
    "Closed",
    "Created",
    "DeadlineExceeded",
    "Metrics",
    "NewAlias",
    "Options",
    "QueueFull",
    "Refused",
    "Resolved",
    "Session",
    "Unavailable",
    "Updated",
]
