"""``python -m tests.support.passing_on HOST PORT SOCKET``: passes connections on to a Unix socket, until it is killed."""

from __future__ import annotations

import socket
import sys
import threading
from contextlib import suppress


def main(host: str, port: int, place: str) -> None:
    listener = socket.create_server((host, port))
    while True:
        client, _ = listener.accept()
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(place)
        except OSError:  # there is nobody any more
            client.close()
            continue
        for one, other in ((client, server), (server, client)):
            threading.Thread(target=pass_on, args=(one, other), daemon=True).start()


def pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
