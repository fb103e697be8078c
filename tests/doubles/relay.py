"""A relay on loopback that stands between a client and a real server, so that the network between them can fail: a double
of a bad line. `silent` takes everything and lets nothing through; `cut` drops what is open and hears nobody.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

Address = tuple[str, int] | str
"""Host and port, or the path of a Unix socket."""
CHUNK = 65_536


class Relay:
    """`port` is where clients connect to. Without a server it is silent for good."""

    def __init__(self, server: Address | None = None) -> None:
        self._server = server
        self._open = threading.Event()
        self._closed = False
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        if server is not None:
            self._open.set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def silence(self) -> None:
        """Connections are taken and bytes swallowed, as by a server that hangs. What was swallowed never arrives."""
        self._open.clear()

    def heal(self) -> None:
        """New connections get through; those from the silence are cut, as their bytes are lost."""
        self.cut()
        self._open.set()

    def cut(self) -> None:
        """Drop every open connection."""
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._closed = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self.cut()
        for thread in self._threads:
            thread.join()
        for each in (self._listener, *self._sockets):
            each.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(client)
            if self._server is None:
                continue
            family = socket.AF_UNIX if isinstance(self._server, str) else socket.AF_INET
            server = socket.socket(family)
            self._sockets.append(server)
            server.connect(self._server)
            for ends in ((client, server), (server, client)):
                self._threads.append(threading.Thread(target=self._pump, args=ends, daemon=True))
                self._threads[-1].start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                if self._open.is_set():
                    target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)


@contextmanager
def relay(server: Address | None = None) -> Iterator[Relay]:
    built = Relay(server)
    try:
        yield built
    finally:
        built.close()
