"""The engine's C interface for Python; see aiows for what to use."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Sequence
from typing import Any, Protocol, Self, final

from typing_extensions import disjoint_base

# Any object with the buffer protocol; collections.abc.Buffer is of Python 3.12.
class _Buffer(Protocol):
    def __buffer__(self, flags: int, /) -> memoryview: ...

ABI: int
ERRORS: dict[str, int]

def load(path: str, /) -> None: ...
def loaded() -> bool: ...
def version() -> str: ...
def strerror(code: int, /) -> str: ...
def close_code_name(code: int, /) -> str: ...
def set_closed_ok(cls: type[BaseException], /) -> None: ...

class Error(Exception):
    code: int
    os_errno: int
    close_code: int
    http_status: int
    message: str

@final
class TLS:
    def __new__(
        cls,
        *,
        server: bool = False,
        insecure: bool = False,
        min_version: int = 0,
        max_version: int = 0,
        ca_file: str | None = None,
        ca_pem: str | None = None,
        cert_file: str | None = None,
        key_file: str | None = None,
        cert_pem: str | None = None,
        key_pem: str | None = None,
        server_name: str | None = None,
        alpn: Sequence[str] | None = (),
        ca_dir: str | None = None,
        key_password: bytes | None = None,
        pins: Sequence[str] | None = (),
        cipher_suites: Sequence[str] | None = (),
        any_name: bool = False,
        client_cert_optional: bool = False,
        strict: bool = False,
    ) -> Self: ...

@final
class Loop:
    def __new__(cls, loop: asyncio.AbstractEventLoop) -> Self: ...
    @property
    def connections(self) -> int: ...
    on_idle: Callable[[], object] | None
    def fileno(self) -> int: ...
    def ready(self) -> None: ...
    def connect(
        self,
        conn: Connection,
        uri: str,
        /,
        *,
        port: int | None = ...,
        host: str | None = ...,
        tls: TLS | None = ...,
        server_name: str | None = ...,
        open_timeout_ms: int | None = ...,
        origin: str | None = ...,
        user_agent: str | None = ...,
        subprotocols: Sequence[str] | None = ...,
        headers: Sequence[tuple[str, str]] | None = ...,
        raw_lines: Sequence[str] | None = ...,
        fd: int | None = ...,
        family: int | None = ...,
        unix_path: str | None = ...,
        local_address: str | None = ...,
        local_port: int | None = ...,
        interleave: int | None = ...,
        happy_eyeballs_delay_ms: int | None = ...,
        tls_handshake_timeout_ms: int | None = ...,
        tls_shutdown_timeout_ms: int | None = ...,
        max_redirects: int | None = ...,
        auto_pong: bool | None = ...,
        auto_close: bool | None = ...,
        compression: int | None = ...,
        deflate: Sequence[dict[str, int]] | None = ...,
        close_timeout_ms: int | None = ...,
        ping_interval_ms: int | None = ...,
        ping_timeout_ms: int | None = ...,
        max_message_size: int | None = ...,
        write_high: int | None = ...,
        write_low: int | None = ...,
        max_fragments: int | None = ...,
        max_fragment_size: int | None = ...,
        stream: bool | None = ...,
        log_frames: bool | None = ...,
    ) -> None: ...
    def listen(
        self,
        host: str,
        port: int,
        on_request: Callable[[Request], object],
        /,
        *,
        backlog: int | None = ...,
        reuse_port: bool | None = ...,
        max_handshakes: int | None = ...,
        tls: TLS | None = ...,
        open_timeout_ms: int | None = ...,
        server_name: str | None = ...,
        fd: int | None = ...,
        any_request: bool | None = ...,
    ) -> Listener: ...
    def stats(self) -> dict[str, int]: ...
    def close(self) -> None: ...

@final
class Listener:
    @property
    def port(self) -> int: ...
    def close(self) -> None: ...

@final
class Request:
    @property
    def method(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def local_address(self) -> str: ...
    @property
    def remote_address(self) -> str: ...
    @property
    def headers(self) -> list[tuple[str, str]]: ...
    @property
    def subprotocols(self) -> list[str]: ...
    @property
    def refusal(self) -> tuple[int, str, list[tuple[str, str]]] | None: ...
    @property
    def gone(self) -> bool: ...
    on_gone: Callable[[], object] | None
    def accept(
        self,
        conn: Connection,
        /,
        *,
        subprotocol: str | None = ...,
        headers: Sequence[tuple[str, str]] | None = ...,
        auto_pong: bool | None = ...,
        auto_close: bool | None = ...,
        compression: int | None = ...,
        deflate: Sequence[dict[str, int]] | None = ...,
        close_timeout_ms: int | None = ...,
        ping_interval_ms: int | None = ...,
        ping_timeout_ms: int | None = ...,
        max_message_size: int | None = ...,
        write_high: int | None = ...,
        write_low: int | None = ...,
        max_fragments: int | None = ...,
        max_fragment_size: int | None = ...,
        stream: bool | None = ...,
        log_frames: bool | None = ...,
    ) -> None: ...
    def reject(
        self, status: int, headers: Sequence[tuple[str, str]] = (), body: bytes = b""
    ) -> None: ...

@disjoint_base
class Connection:
    def __init__(
        self,
        loop: Loop,
        *,
        max_queue: tuple[int | None, int | None] = (16, 4),
        text_as_bytes: bool = False,
        on_message: Callable[[Any, Any], object] | None = None,
    ) -> None: ...
    @property
    def state(self) -> int: ...
    @property
    def queued(self) -> int: ...
    @property
    def buffered(self) -> int: ...
    @property
    def received_at(self) -> int: ...
    @property
    def _streaming(self) -> bool: ...
    @property
    def paused(self) -> bool: ...
    def recv(self, decode: bool | None = None) -> Coroutine[Any, Any, str | bytes]: ...
    def recv_many(self, max: int | None = None) -> Coroutine[Any, Any, list[str | bytes]]: ...
    def _recv_part(self) -> Coroutine[Any, Any, tuple[str | bytes, bool, bool]]: ...
    def _stream(self) -> None: ...
    def __aiter__(self) -> AsyncIterator[str | bytes]: ...
    def __anext__(self) -> Coroutine[Any, Any, str | bytes]: ...
    def send(
        self,
        message: str | _Buffer | Iterable[str | _Buffer] | AsyncIterable[str | _Buffer],
        text: bool | None = None,
    ) -> Coroutine[Any, Any, None]: ...
    def send_nowait(self, message: str | _Buffer, text: bool | None = None) -> None: ...
    def send_fragment(self, kind: int, fin: bool, data: str | _Buffer, /) -> bool: ...
    def _take_turn(self) -> Coroutine[Any, Any, None]: ...
    def _end_turn(self) -> None: ...
    def drain(self) -> Coroutine[Any, Any, None]: ...
    def info(self) -> dict[str, Any]: ...
    def stats_(self) -> dict[str, int]: ...
    def error(self) -> Error | None: ...
    def _ping(self, data: str | _Buffer, /) -> None: ...
    def _pong(self, data: str | _Buffer, /) -> None: ...
    def _close(self, code: int, reason: str, /) -> None: ...
    def _abort(self) -> None: ...
    def _on_open(self) -> None: ...
    def _on_failed(self, error: Error, /) -> None: ...
    def _on_ping(self, data: bytes, /) -> None: ...
    def _on_log(self, line: str, dropped: int, /) -> None: ...
    def _on_pong(self, data: bytes, /) -> None: ...
    def _on_closing(self, code: int, reason: str, /) -> None: ...
    def _on_closed(self, code: int, reason: str, sent: int, flags: int, /) -> None: ...
    def _send_parts(self, message: object, text: bool | None, /) -> Coroutine[Any, Any, None]: ...
    def _closed_exception(self) -> BaseException: ...
    def _concurrency_error(self) -> BaseException: ...
    def _map_error(self, error: Error, /) -> BaseException: ...
