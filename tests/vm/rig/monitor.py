"""The cable of the machine's monitor: pulled out, and one of another size plugged in.

QEMU tells the graphics card so where a viewer asks for another size (RFC 6143 and its extension SetDesktopSize); none at
all is a monitor that is gone. This is such a viewer that looks at nothing.
"""

from __future__ import annotations

import socket
import struct
from pathlib import Path

from .places import RigError

SET_ENCODINGS, SET_DESKTOP_SIZE = 2, 251
EXTENDED_DESKTOP_SIZE = -308
NO_PASSWORD = 1


class Cable:
    """A connection to QEMU's VNC server."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(60)
        self._socket.connect(str(path))
        self._take(12)
        self._socket.sendall(b"RFB 003.008\n")
        (count,) = self._take(1)
        if NO_PASSWORD not in self._take(count):
            raise RigError("QEMU's VNC server wants a password")
        self._socket.sendall(bytes([NO_PASSWORD]))
        if self._take(4) != bytes(4):
            raise RigError("QEMU's VNC server refuses a viewer")
        self._socket.sendall(b"\1")
        start = self._take(24)
        width, height = struct.unpack_from(">HH", start)
        (length,) = struct.unpack_from(">I", start, 20)
        self._take(length)
        self._socket.sendall(struct.pack(">BxHi", SET_ENCODINGS, 1, EXTENDED_DESKTOP_SIZE))
        # To QEMU no size at all is what it was told before, and no news.
        self.plug(width, height)

    def __enter__(self) -> "Cable":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _take(self, count: int) -> bytes:
        taken = b""
        while len(taken) < count:
            more = self._socket.recv(count - len(taken))
            if not more:
                raise RigError("QEMU's VNC server ended the connection")
            taken += more
        return taken

    def unplug(self) -> None:
        """No monitor."""
        self.plug(0, 0)

    def plug(self, width: int, height: int) -> None:
        """A monitor of this size."""
        screen = struct.pack(">IHHHHI", 0, 0, 0, width, height, 0)
        self._socket.sendall(struct.pack(">BxHHBx", SET_DESKTOP_SIZE, width, height, 1) + screen)
