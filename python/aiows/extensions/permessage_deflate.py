"""
Compression of messages: permessage-deflate (RFC 7692).

``compression="deflate"``, the default of connect and serve, suits almost
everyone. A factory says more: which parameters are offered or required, and
how hard to compress. The core negotiates and compresses; factories only hold
what it is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from .._options import flag
from .._quoting import quoted

__all__ = ["ClientPerMessageDeflateFactory", "ServerPerMessageDeflateFactory"]

_ANY_WINDOW = -1  # AIOWS_WINDOW_ANY: the parameter without a value
_HISTORY = 1536
_MEM_LEVEL = 5


class _Factory:
    name = "permessage-deflate"

    def __init__(
        self,
        server_no_context_takeover: bool,
        client_no_context_takeover: bool,
        server_max_window_bits: int | None,
        client_max_window_bits: int | Literal[True] | None,
        compress_settings: Mapping[str, Any] | None,
    ) -> None:
        self.server_no_context_takeover = flag(
            "server_no_context_takeover", server_no_context_takeover
        )
        self.client_no_context_takeover = flag(
            "client_no_context_takeover", client_no_context_takeover
        )
        self.server_max_window_bits = server_max_window_bits
        self.client_max_window_bits = client_max_window_bits
        self.compress_settings = compress_settings
        self._level, self._history = _check_settings(compress_settings)

    def __repr__(self) -> str:
        fields = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        shown = ", ".join(f"{name}={quoted(value)}" for name, value in fields.items())
        return f"{type(self).__name__}({shown})"

    def _core(self) -> dict[str, int]:
        """Return what the core is told, by its own names."""
        client = self.client_max_window_bits
        return {
            "server_no_context_takeover": self.server_no_context_takeover,
            "client_no_context_takeover": self.client_no_context_takeover,
            "server_max_window_bits": self.server_max_window_bits or 0,
            "client_max_window_bits": _ANY_WINDOW if client is True else client or 0,
            "level": self._level,
            "history": self._history,
        }


class ClientPerMessageDeflateFactory(_Factory):
    """
    An offer of a client (RFC 7692 section 7.1).

    Args:
        server_no_context_takeover: Have the server forget each message.
        client_no_context_takeover: Tell the server that it may forget ours,
            which saves it memory, and forget them.
        server_max_window_bits: How far back the server may refer, as a power
            of two of bytes, 8 to 15; None for no limit. Without a limit, a
            connection that was sent compressed messages keeps the last 32 KiB.
        client_max_window_bits: The same for our messages, 9 to 15; True
            lets the server choose, None does not.
        compress_settings: ``level``, 1 (fast) to 9, or -1 for 5; ``memLevel``,
            1 to 9: the history that each message is compressed against,
            ``1536 * 2 ** (memLevel - 5)`` bytes of what was sent before, 1.5
            KiB by default. A longer one makes messages smaller that resemble
            older ones, and costs time and memory.

    Raises:
        TypeError, ValueError: An argument that cannot be used.

    """

    def __init__(
        self,
        server_no_context_takeover: bool = False,
        client_no_context_takeover: bool = False,
        server_max_window_bits: int | None = None,
        client_max_window_bits: int | Literal[True] | None = True,
        compress_settings: Mapping[str, Any] | None = None,
    ) -> None:
        _check_bits("server_max_window_bits", server_max_window_bits, 8)
        if client_max_window_bits is not True:
            _check_bits("client_max_window_bits", client_max_window_bits, 9)
        _refuse_wbits(compress_settings, "client_max_window_bits")
        super().__init__(
            server_no_context_takeover,
            client_no_context_takeover,
            server_max_window_bits,
            client_max_window_bits,
            compress_settings,
        )


class ServerPerMessageDeflateFactory(_Factory):
    """
    What a server agrees to (RFC 7692 section 7.1).

    Args:
        server_no_context_takeover: Forget our messages, also for clients that
            do not ask for it.
        client_no_context_takeover: Have clients forget theirs.
        server_max_window_bits: How far back our messages may refer, as a power
            of two of bytes, 9 to 15; None for what the client asks for.
        client_max_window_bits: The same for messages of clients that can limit
            it, 8 to 15. Without a limit, a connection that sent compressed
            messages keeps the last 32 KiB.
        compress_settings: As for ClientPerMessageDeflateFactory.
        require_client_max_window_bits: Decline offers of clients that cannot
            limit it.

    Raises:
        TypeError, ValueError: An argument that cannot be used.

    """

    def __init__(
        self,
        server_no_context_takeover: bool = False,
        client_no_context_takeover: bool = False,
        server_max_window_bits: int | None = None,
        client_max_window_bits: int | None = None,
        compress_settings: Mapping[str, Any] | None = None,
        require_client_max_window_bits: bool = False,
    ) -> None:
        _check_bits("server_max_window_bits", server_max_window_bits, 9)
        _check_bits("client_max_window_bits", client_max_window_bits, 8)
        _refuse_wbits(compress_settings, "server_max_window_bits")
        required = flag("require_client_max_window_bits", require_client_max_window_bits)
        if required and client_max_window_bits is None:
            raise ValueError(
                "require_client_max_window_bits is enabled, "
                "but client_max_window_bits isn't configured"
            )
        super().__init__(
            server_no_context_takeover,
            client_no_context_takeover,
            server_max_window_bits,
            client_max_window_bits,
            compress_settings,
        )
        self.require_client_max_window_bits = required

    def _core(self) -> dict[str, int]:
        required = self.require_client_max_window_bits
        return super()._core() | {"require_client_max_window_bits": required}


def _check_bits(name: str, value: object, least: int) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be int or None, got {quoted(value)}")
    if not least <= value <= 15:
        raise ValueError(f"{name} must be between {least} and 15, got {quoted(value)}")


def _refuse_wbits(settings: object, instead: str) -> None:
    if isinstance(settings, Mapping) and "wbits" in settings:
        raise ValueError(f"compress_settings must not include wbits, set {instead} instead")


def _check_settings(settings: object) -> tuple[int, int]:
    """Return level and history as the core takes them."""
    if settings is None:
        return 0, 0
    if not isinstance(settings, Mapping):
        raise TypeError(f"compress_settings must be a dict or None, got {quoted(settings)}")
    for name in settings:
        if name not in ("level", "memLevel"):
            raise ValueError(
                f"compress_settings must not include {name}, expected level and memLevel at most"
            )
    level = _setting(settings, "level", -1)
    memory = _setting(settings, "memLevel", _MEM_LEVEL)
    if level != -1 and not 1 <= level <= 9:
        raise ValueError(
            f"compress_settings has level = {quoted(level)}, expected -1 or 1 to 9; "
            "compression=None sends messages as they are"
        )
    if not 1 <= memory <= 9:
        raise ValueError(f"compress_settings has memLevel = {quoted(memory)}, expected 1 to 9")
    history = _HISTORY << memory >> _MEM_LEVEL
    return max(level, 0), history


def _setting(settings: Mapping[str, Any], name: str, default: int) -> int:
    value = settings.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"compress_settings has {name} = {quoted(value)}, expected int")
    return value
