"""A wire tap: it stands before an instance, outside the application, and keeps every byte in both directions."""

import contextlib
import socket
import threading


class Tap:
    """Forwards `port` to `behind` on loopback. `heard` is everything that came in, `said` everything that went out."""

    def __init__(self, port: int, behind: int) -> None:
        self.port = port
        self.behind = behind
        self.heard = bytearray()
        self.said = bytearray()
        self._listening = socket.create_server(("127.0.0.1", port))
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def stop(self) -> None:
        """Ends every connection, and the tap."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for end in list(self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for end in list(self._open):
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                outer, _ = self._listening.accept()
            except OSError:
                return
            try:
                inner = socket.create_connection(("127.0.0.1", self.behind), 10)
            except OSError:
                outer.close()
                continue
            inner.settimeout(None)
            self._open |= {outer, inner}
            for source, sink, kept in ((outer, inner, self.heard), (inner, outer, self.said)):
                thread = threading.Thread(target=_copy, args=(source, sink, kept), daemon=True)
                self._threads.append(thread)
                thread.start()


def _copy(source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            kept += data
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
