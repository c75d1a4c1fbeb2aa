"""Which ids are worth asking for, and which arguments are wrong."""

from __future__ import annotations

import re
from typing import AnyStr

from ..errors import Refused

MOST_BYTES = 255
MOST_PROJECT = (1 << 63) - 1
_TRACE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[\x21-\x7e]{1,200})?")


def text_of(id: str | bytes) -> str | None:
    """The id as the protocol has it. `None`: no alias can have it, so it resolves to itself.

    That is an id that is empty, over 255 bytes, or not UTF-8 (in a `str`: with lone surrogates).

    Raises:
        TypeError: If it is no id at all.

    """
    if isinstance(id, str):
        if id.isascii():
            return id if 0 < len(id) <= MOST_BYTES else None
        try:
            return id if len(id) <= MOST_BYTES and len(id.encode()) <= MOST_BYTES else None
        except UnicodeEncodeError:
            return None
    if isinstance(id, bytes):
        try:
            return id.decode() if 0 < len(id) <= MOST_BYTES else None
        except UnicodeDecodeError:
            return None
    raise TypeError(f"an id is str or bytes, not {type(id).__name__}")


def in_type_of(id: AnyStr, text: str) -> AnyStr:
    """The text, in the type of the id that was asked for."""
    return text if isinstance(id, str) else text.encode()


def check_project(project: int) -> None:
    """Checks a project before it meets others in a batch.

    Raises:
        TypeError: If it is no number.
        Refused: If the server would refuse it.

    """
    if isinstance(project, bool) or not isinstance(project, int):
        raise TypeError(f"a project is an int, not {type(project).__name__}")
    if not 0 < project <= MOST_PROJECT:
        raise Refused("a project is a number from 1 to 2^63 - 1", reason="INVALID_PROJECT")


def check_token(token: str) -> None:
    """Checks that a token can be sent.

    Raises:
        Refused: If the server would refuse it.

    """
    if token and not (token.isascii() and token.isprintable()):
        raise Refused("this is not a token that aka returned", reason="INVALID_TOKEN")


def is_trace(traceparent: str) -> bool:
    """Whether it has the form of a `traceparent` of the W3C."""
    return _TRACE.fullmatch(traceparent) is not None
