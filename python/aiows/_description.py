"""What describes a connection, whether asyncio or threads use it."""

from __future__ import annotations

import logging
import weakref
from typing import TYPE_CHECKING, Any

from . import _core
from ._errors import closed_cause, request_of, response_of
from ._options import LoggerLike
from .close_codes import OK_CLOSE_CODES, Close, CloseCode
from .exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK
from .http11 import Request, Response

if TYPE_CHECKING:
    import uuid

_core.set_closed_ok(ConnectionClosedOK)


class Description:
    """
    Attributes that are the same for every kind of connection.

    They stay readable when the connection is closed.

    """

    if not TYPE_CHECKING:
        __slots__ = ()  # so that subclasses may have none, or their own
    else:
        _base_logger: LoggerLike
        _id: uuid.UUID | None
        _info: dict[str, Any] | None
        _logger: logging.LoggerAdapter[Any] | None
        _max_size: tuple[int | None, int | None]
        _request: Request | None
        _response: Response | None

        def _has_ended(self) -> bool:
            raise NotImplementedError

        def _cause(self) -> _core.Error | None:
            raise NotImplementedError

        def info(self) -> dict[str, Any]:
            raise NotImplementedError

        def _closing_state(self) -> tuple[Close | None, Close | None, bool | None]:
            raise NotImplementedError

    @property
    def id(self) -> uuid.UUID:
        """A random identifier, for logs."""
        if self._id is None:
            import uuid

            self._id = uuid.uuid4()
        return self._id

    @property
    def logger(self) -> logging.LoggerAdapter[Any]:
        """Logger that adds this connection to records as their attribute ``websocket``."""
        if self._logger is None:
            self._logger = logging.LoggerAdapter(
                self._base_logger,
                {"websocket": weakref.proxy(self)},
            )
        return self._logger

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol agreed on, None without one."""
        return self._describe()["subprotocol"] or None

    @property
    def request(self) -> Request | None:
        """The opening handshake's request."""
        if self._request is None:
            self._request = request_of(self._describe())
        return self._request

    @property
    def response(self) -> Response | None:
        """The opening handshake's response."""
        if self._response is None:
            self._response = response_of(self._describe())
        return self._response

    @property
    def local_address(self) -> Any:
        """Address of this side as socket.getsockname has it: (host, port) for IPv4."""
        return self._address(self._describe()["local_address"])

    @property
    def remote_address(self) -> Any:
        """Address of the other side as socket.getpeername has it: (host, port) for IPv4."""
        return self._address(self._describe()["remote_address"])

    @property
    def tls_version(self) -> str | None:
        """Version of TLS such as ``"TLS 1.3"``, None without TLS in the core."""
        return self._describe()["tls_version"] or None

    @property
    def tls_cipher_suite(self) -> str | None:
        """IANA name of the cipher suite, None without TLS in the core."""
        return self._describe()["tls_cipher_suite"] or None

    @property
    def alpn_protocol(self) -> str | None:
        """The protocol agreed on by ALPN, None without one."""
        return self._describe()["tls_alpn"] or None

    @property
    def peer_certificate(self) -> bytes | None:
        """
        The certificate that the peer showed, as DER, None when it showed none.

        ``ssl.DER_cert_to_PEM_cert`` makes text of it. Only what the context
        verifies says anything about the peer.

        """
        return self._describe()["tls_peer_certificate"] or None

    @property
    def close_code(self) -> int | None:
        """Close code received, 1006 when no Close frame came, None before the end."""
        if not self._has_ended():
            return None
        received = self._closing_state()[0]
        return CloseCode.ABNORMAL_CLOSURE if received is None else received.code

    @property
    def close_reason(self) -> str | None:
        """Close reason received, empty when there was none, None before the end."""
        if not self._has_ended():
            return None
        received = self._closing_state()[0]
        return "" if received is None else received.reason

    # For this package

    def _on_log(self, line: str, dropped: int) -> None:
        if dropped:
            self.logger.debug("= %d lines are missing, the queue was full", dropped)
        self.logger.debug("%s", line)

    def _describe(self) -> dict[str, Any]:
        # Kept, as the core forgets a connection once its loop has ended.
        if self._info is None:
            self._info = self.info()
        return self._info

    def _address(self, text: str) -> Any:
        host, separator, port = text.rpartition(":")
        if not separator:
            return None
        if host.startswith("["):
            return host[1:-1], int(port), 0, 0
        return host, int(port)

    def _closing_so_far(self) -> tuple[Close | None, Close | None]:
        """Return the Close frames received and sent, before the end."""
        info = self.info()
        rcvd = sent = None
        if info["close_received"]:
            rcvd = Close(info["close_received"], info["close_reason_received"])
        if info["close_sent"]:
            sent = Close(info["close_sent"], info["close_reason_sent"])
        return rcvd, sent

    def _closed_exception(self) -> ConnectionClosed:
        rcvd, sent, rcvd_then_sent = self._closing_state()
        exception = self._closed_type(rcvd, sent)(rcvd, sent, rcvd_then_sent)
        exception.__cause__ = closed_cause(self._cause(), self._max_size)
        return exception

    def _closed_type(self, rcvd: Close | None, sent: Close | None) -> type[ConnectionClosed]:
        if rcvd is not None and sent is not None:
            if rcvd.code in OK_CLOSE_CODES and sent.code in OK_CLOSE_CODES:
                return ConnectionClosedOK
        return ConnectionClosedError
