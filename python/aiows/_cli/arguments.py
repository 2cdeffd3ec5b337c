"""What the command line takes, and which module runs each command."""

from __future__ import annotations

import argparse
import math
import platform
import sys
from collections.abc import Sequence

from .._quoting import quoted
from ..version import __version__
from . import STATUS_HELP


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="aiows", description="WebSocket tools.")
    parser.add_argument("--version", action="store_true", help="print versions and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    connect = _add_connect(commands)
    echo = _add_echo(commands)
    commands.add_parser(
        "doctor",
        help="say what is wrong with this installation",
        description="Check this installation; exit status 0 when nothing is wrong, else 1.",
    )
    options = parser.parse_args(arguments)
    if options.version:
        from .._library import version

        print(f"aiows {__version__}, libaiows {version()}, Python {platform.python_version()}")
        return 0
    if options.command == "connect":
        _check_connect(connect, options)
        from .connecting import run as run_connect

        return run_connect(options)
    if options.command == "echo":
        if options.tls_key and not options.tls_cert:
            echo.error("--tls-key needs --tls-cert")
        from .echo import run as run_echo

        return run_echo(options)
    if options.command == "doctor":
        from .doctor import run as run_doctor

        return run_doctor()
    parser.print_usage(sys.stderr)
    return 2


def _add_connect(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> _Parser:
    parser = commands.add_parser(
        "connect",
        help="talk to a server, interactively or in pipes",
        description=(
            "Send each line as a text message and print what arrives, binary messages in hex. "
            "On a terminal there is a prompt with a history; Ctrl-D closes, and so does Ctrl-C. "
            "In pipes lines of standard input are sent and a line is printed for each message."
        ),
        epilog=STATUS_HELP,
    )
    parser.add_argument("uri", metavar="URI", help="ws://… or wss://…")
    request = parser.add_argument_group("the request")
    request.add_argument(
        "-H",
        "--header",
        metavar="FIELD",
        action="append",
        default=[],
        help='a header field, "Name: value"; repeatable',
    )
    request.add_argument("-o", "--origin", help="the Origin field")
    request.add_argument(
        "-s",
        "--subprotocol",
        metavar="NAME",
        action="append",
        default=[],
        help="a subprotocol to offer, preferred ones first; repeatable",
    )
    way = parser.add_argument_group("the way there")
    way.add_argument(
        "-p",
        "--proxy",
        metavar="URI",
        help='http, https, socks4, socks4a, socks5 or socks5h; "none" for none '
        "(default: what the environment says)",
    )
    way.add_argument("--ca", metavar="FILE", help="PEM file of the authorities to trust")
    way.add_argument("--cert", metavar="FILE", help="PEM chain that the client shows")
    way.add_argument(
        "--key", metavar="FILE", help="its PEM key (default: in the file of the chain)"
    )
    way.add_argument(
        "--insecure", action="store_true", help="believe any certificate: for tests only"
    )
    exchange = parser.add_argument_group("the exchange")
    exchange.add_argument(
        "-t",
        "--text",
        metavar="MESSAGE",
        action="append",
        default=[],
        help="send this first; repeatable",
    )
    exchange.add_argument(
        "-r",
        "--raw",
        action="store_true",
        help="print messages as they came: no hex, no line ends, nothing in front",
    )
    exchange.add_argument(
        "--timings",
        action="store_true",
        help="print how long opening took, and seconds since then in front of each message",
    )
    exchange.add_argument(
        "--eof-wait",
        metavar="SECONDS",
        type=_seconds,
        default=1.0,
        help="after the end of input stay until nothing has come for that long; inf until the "
        "server closes (default: 1)",
    )
    exchange.add_argument(
        "--ping",
        metavar="SECONDS",
        type=_interval,
        help="ping this often and tell the round trip (default: silently every 20)",
    )
    exchange.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="log the handshake and frames to standard error",
    )
    return parser


def _check_connect(parser: _Parser, options: argparse.Namespace) -> None:
    if options.key and not options.cert:
        parser.error("--key needs --cert")
    if options.insecure and options.ca:
        parser.error("--insecure together with --ca, expected one of them")
    fields = []
    for field in options.header:
        name, colon, value = field.partition(":")
        if not colon or not name.strip():
            first = quoted(field.split(maxsplit=1)[0] if field.strip() else field)
            parser.error(f'--header begins with {first}, expected "Name: value"')
        fields.append((name.strip(), value.strip()))
    options.header = fields


def _add_echo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> _Parser:
    parser = commands.add_parser(
        "echo",
        help="run a server that sends every message back",
        description="Run a server that sends every message back, until interrupted.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=0, help="port (default: one that the system chooses)"
    )
    parser.add_argument("--tls-cert", metavar="FILE", help="PEM chain, for wss")
    parser.add_argument(
        "--tls-key", metavar="FILE", help="PEM key (default: in the file of the chain)"
    )
    return parser


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:
        raise argparse.ArgumentTypeError(f"{quoted(text)}, expected a number of seconds or inf")
    return seconds


def _interval(text: str) -> float:
    seconds = _seconds(text)
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{quoted(text)}, expected a positive number of seconds")
    return seconds


_Parser = argparse.ArgumentParser
