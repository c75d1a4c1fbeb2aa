"""The client of aka for asyncio. Answers and errors are those of `aka_client`."""

from .client import Client
from .session import Session

__all__ = ["Client", "Session"]
