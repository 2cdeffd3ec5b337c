"""Follow a feed in one thread and send lines of the terminal from another."""

import sys
import threading

from aiows import ConnectionClosed
from aiows.sync import ClientConnection, reconnect


def send_lines(ws: ClientConnection) -> None:
    try:
        for line in sys.stdin:
            ws.send(line.rstrip("\n"))
        ws.close()
    except ConnectionClosed:
        pass  # the main thread says so


def main(uri: str) -> None:
    for ws in reconnect(uri):
        threading.Thread(target=send_lines, args=[ws], daemon=True).start()
        try:
            for message in ws:
                print(message)
            break
        except ConnectionClosed as error:
            print("lost:", error)


if __name__ == "__main__":
    main(sys.argv[1])
