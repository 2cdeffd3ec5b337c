"""Send a message and print the answer, without an event loop."""

import sys

from aiows.sync import connect

with connect(sys.argv[1]) as ws:
    ws.send(sys.argv[2])
    print(ws.recv(timeout=10))
