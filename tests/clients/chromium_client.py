"""
A client on chromium: steps.js in a page, driven over the DevTools protocol.

The protocol goes through a pair of pipes (descriptors 3 and 4 of the browser),
so that it takes no WebSocket of ours or of another library.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

STEPS = Path(__file__).with_name("steps.js")
PAGE = f"<!doctype html><title>client</title><script>{STEPS.read_text()}</script>".encode()


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *arguments: object) -> None:
        pass


def arguments(profile: str, cert: str | None) -> list[str]:
    found = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-crash-reporter",
        "--disable-breakpad",
        "--disable-extensions",
        "--disable-sync",
        "--mute-audio",
        "--no-first-run",
        "--remote-debugging-pipe",
        f"--user-data-dir={profile}",
    ]
    if cert is not None:
        leaf = x509.load_pem_x509_certificate(Path(cert).read_bytes())
        key = leaf.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        digest = base64.b64encode(hashlib.sha256(key).digest()).decode()
        found.append(f"--ignore-certificate-errors-spki-list={digest}")
    return found


class Browser:
    def __init__(self, profile: str, cert: str | None) -> None:
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        theirs = [os.dup2(theirs_in, 100), os.dup2(theirs_out, 101)]
        # The pipes become descriptors 3 and 4 of the browser, whatever is there now.
        launcher = 'exec "$@" 3<&100 4>&101 100<&- 101>&-'
        self.process = subprocess.Popen(
            ["bash", "-c", launcher, "bash", "chromium", *arguments(profile, cert), "about:blank"],
            pass_fds=theirs,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for descriptor in (theirs_in, theirs_out, *theirs):
            os.close(descriptor)
        self._input = os.fdopen(ours_out, "wb", buffering=0)
        self._output = os.fdopen(ours_in, "rb")
        self._lock = threading.Lock()
        self._number = 0
        self._session: str | None = None

    def send(self, method: str, **parameters: Any) -> int:
        with self._lock:
            self._number += 1
            message = {"id": self._number, "method": method, "params": parameters}
            if self._session is not None:
                message["sessionId"] = self._session
            self._input.write(json.dumps(message).encode() + b"\0")
            return self._number

    def read(self) -> dict[str, Any] | None:
        text = bytearray()
        while (octet := self._output.read(1)) != b"\0":
            if not octet:
                return None
            text += octet
        found: dict[str, Any] = json.loads(text)
        return found

    def call(self, method: str, **parameters: Any) -> Any:
        number = self.send(method, **parameters)
        while (answer := self.read()) is not None:
            if answer.get("id") == number:
                assert "result" in answer, answer
                return answer["result"]
        raise RuntimeError(f"the browser ended with status {self.process.wait()}")

    def open(self, uri: str) -> None:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self.call("Runtime.enable")
        self.call("Runtime.addBinding", name="report")
        self.call("Runtime.addBinding", name="die")
        self.call("Page.enable")
        self.call("Page.navigate", url=uri)
        while (event := self.read()) is not None:
            if event.get("method") == "Page.loadEventFired":
                return

    def accept(self, line: str) -> None:
        self.send("Runtime.evaluate", expression=f"accept({json.dumps(line)})")

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def show(browser: Browser) -> None:
    """Print what the page reports, until the browser ends."""
    while (event := browser.read()) is not None:
        if event.get("method") == "Runtime.bindingCalled":
            if event["params"]["name"] == "die":
                browser.kill()
                os.kill(os.getpid(), signal.SIGKILL)
            print(event["params"]["payload"], flush=True)
        elif "exceptionDetails" in event.get("result", {}):
            print(json.dumps({"failed": event["result"]["exceptionDetails"]}), flush=True)


def main(profile: str) -> None:
    pages = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=pages.serve_forever, daemon=True).start()
    browser = Browser(profile, sys.argv[1] if len(sys.argv) > 1 else None)
    try:
        browser.open(f"http://localhost:{pages.server_port}/")
        threading.Thread(target=show, args=(browser,), daemon=True).start()
        print(json.dumps({"ready": True}), flush=True)
        for line in sys.stdin:
            browser.accept(line)
    finally:
        browser.kill()


folder = tempfile.mkdtemp(prefix="chromium-")
try:
    main(folder)
finally:
    shutil.rmtree(folder, ignore_errors=True)
