"""When and where a connection is opened again."""

from __future__ import annotations

import inspect
import random
import traceback
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, TypeVar

from ._errors import without_credentials
from ._options import LoggerLike, callback
from .exceptions import InvalidMessage, InvalidStatus

__all__ = ["Attempts", "backoff", "process_exception", "run_on_open", "try_each", "uri_list"]

_T = TypeVar("_T")

# Answers that a server, or a proxy before it, gives while it is out of order.
_TRANSIENT_STATUS = frozenset({500, 502, 503, 504})


def process_exception(exc: Exception) -> Exception | None:
    """
    Tell whether a failed attempt to connect is worth another one.

    The default of ``process_exception`` of connect. These are: OSError and
    TimeoutError; InvalidMessage because of an EOFError, when the server went away
    in place of an answer; InvalidStatus with 500, 502, 503 or 504.

    Returns:
        None to try again, or the exception that ends the trying: exc.

    """
    # First, as AioWebSocket's is a ConnectionError too.
    if isinstance(exc, InvalidStatus):
        return None if exc.response.status_code in _TRANSIENT_STATUS else exc
    if isinstance(exc, (OSError, TimeoutError)):
        return None
    if isinstance(exc, InvalidMessage) and isinstance(exc.__cause__, EOFError):
        return None
    return exc


def backoff(
    initial_delay: float = 5.0,
    min_delay: float = 3.1,
    max_delay: float = 90.0,
    factor: float = 1.618,
) -> Generator[float, None, None]:
    """
    Yield delays in seconds between attempts, without end.

    The default of ``reconnect_delays`` of connect. The first is random, so that
    the clients of a server that was restarted do not come back at one time
    (RFC 6455 section 7.2.3).

    Args:
        initial_delay: The first delay is between 0 and this.
        min_delay: The second.
        max_delay: The longest.
        factor: What each delay is multiplied by.

    """
    yield random.random() * initial_delay
    delay = min_delay
    while delay < max_delay:
        yield delay
        delay *= factor
    while True:
        yield max_delay


def uri_list(uri: object) -> tuple[str, ...]:
    """
    Return one URI, or a list of them to fail over, as a tuple.

    Raises:
        TypeError: Neither a str nor a list or tuple of str.
        ValueError: The list is empty.

    """
    if isinstance(uri, str):
        return (uri,)
    if not isinstance(uri, (list, tuple)):
        raise TypeError(f"uri must be str or a list of str, got {type(uri).__name__}")
    if not uri:
        raise ValueError("uri is an empty list, expected at least one URI")
    for one in uri:
        if not isinstance(one, str):
            raise TypeError(f"uri must be a list of str, got {type(one).__name__} in it")
    return tuple(uri)


def check_policy(process_exception: Any, reconnect_delays: Any) -> None:
    """Raise TypeError for what cannot be called as connect documents it."""
    for name, value in (
        ("process_exception", process_exception),
        ("reconnect_delays", reconnect_delays),
    ):
        if callback(name, value) is None:
            raise TypeError(f"{name} must be callable, got None")


async def run_on_open(on_open: Callable[[Any], Any] | None, subject: object) -> None:
    """Call on_open, and await what it returns if that can be awaited."""
    if on_open is not None:
        result = on_open(subject)
        if inspect.isawaitable(result):
            await result


async def try_each(uris: Sequence[str], attempt: Callable[[str], Awaitable[_T]]) -> _T:
    """
    Return what the first attempt that succeeds returns.

    Raises:
        Exception: What the last one raised, with notes about the others.

    """
    notes = []
    for uri in uris[:-1]:
        try:
            return await attempt(uri)
        except Exception as error:
            notes.append(earlier_attempt(uri, error))
    try:
        return await attempt(uris[-1])
    except Exception as error:
        for note in notes:
            error.add_note(note)
        raise


def earlier_attempt(uri: str, error: Exception) -> str:
    """Return the note about an attempt that failed before the last one."""
    shown = traceback.format_exception_only(error)[0].strip()
    return f"before, {without_credentials(uri)}: {shown}"


class Attempts:
    """
    The attempts of one ``async for``: where the next one goes, and after what delay.

    Each goes to the next URI, and after the last to the first. A delay follows
    when all of them failed, one after the other.

    """

    def __init__(
        self,
        uris: Sequence[str],
        process_exception: Callable[[Exception], Exception | None],
        reconnect_delays: Callable[[], Generator[float, None, None]],
        logger: LoggerLike,
    ) -> None:
        self._uris = uris
        self._process_exception = process_exception
        self._reconnect_delays = reconnect_delays
        self._logger = logger
        self._delays: Generator[float, None, None] | None = None
        self._next = 0
        self._failed = 0

    def next_uri(self) -> str:
        """Return the URI of the attempt that begins."""
        uri = self._uris[self._next]
        self._next = (self._next + 1) % len(self._uris)
        return uri

    def succeeded(self) -> None:
        """Begin anew with the delays."""
        self._delays = None
        self._failed = 0

    def failed(self, error: Exception) -> float:
        """
        Return how many seconds the next attempt has to wait, and log it.

        Raises:
            Exception: error, or what process_exception makes of it, when there
                is to be none; error also when there are no more delays.

        """
        try:
            fatal = self._process_exception(error)
        except Exception as raised:  # a frequent slip for returning it
            fatal = raised
        if fatal is error:
            raise error
        if fatal is not None:
            raise fatal from error
        shown = traceback.format_exception_only(error)[0].strip()
        self._failed += 1
        if self._failed % len(self._uris):
            uri = without_credentials(self._uris[self._next])
            self._logger.info("connect failed; trying %s: %s", uri, shown)
            return 0.0
        if self._delays is None:
            self._delays = self._reconnect_delays()
        delay = next(self._delays, None)
        if delay is None:
            raise error
        self._logger.info("connect failed; reconnecting in %.1f seconds: %s", delay, shown)
        return delay
