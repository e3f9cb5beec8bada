"""Writes cpio archives, the form in which Linux takes an initial RAM disk (`newc`)."""

from __future__ import annotations

import stat
from pathlib import Path


class Archive:
    """An archive in memory. Everything in it belongs to root; the kernel reads several archives one after the other."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._count = 0
        self._folders: set[str] = set()

    def _entry(self, name: str, mode: int, content: bytes) -> None:
        self._count += 1
        path = name.encode() + b"\0"
        links = 2 if stat.S_ISDIR(mode) else 1
        # inode, mode, uid, gid, links, time, size, device (2), device meant (2), length of the name, checksum
        fields = (self._count, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(path), 0)
        self._bytes += b"070701" + b"".join(b"%08X" % field for field in fields) + path
        self._pad()
        self._bytes += content
        self._pad()

    def _pad(self) -> None:
        self._bytes += bytes(-len(self._bytes) % 4)

    def folder(self, name: str, mode: int = 0o755) -> None:
        """Adds a folder, and those above it; one that is there already stays as it is."""
        above, _, _ = name.rpartition("/")
        if above:
            self.folder(above)
        if name and name not in self._folders:
            self._folders.add(name)
            self._entry(name, stat.S_IFDIR | mode, b"")

    def file(self, name: str, content: bytes, mode: int = 0o644) -> None:
        """Adds a file and the folders above it."""
        self.folder(name.rpartition("/")[0])
        self._entry(name, stat.S_IFREG | mode, content)

    def link(self, name: str, to: str) -> None:
        """Adds a symbolic link and the folders above it."""
        self.folder(name.rpartition("/")[0])
        self._entry(name, stat.S_IFLNK | 0o777, to.encode())

    def tree(self, root: Path, below: str) -> None:
        """Adds all that lies in a folder of this machine."""
        self.folder(below)
        for path in sorted(root.rglob("*")):
            name = f"{below}/{path.relative_to(root)}"
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                self.link(name, str(path.readlink()))
            elif stat.S_ISDIR(mode):
                self.folder(name, stat.S_IMODE(mode))
            elif stat.S_ISREG(mode):
                self.file(name, path.read_bytes(), stat.S_IMODE(mode))

    def bytes(self) -> bytes:
        """The archive as it stands."""
        end = Archive()
        end._entry("TRAILER!!!", 0, b"")
        return bytes(self._bytes) + bytes(end._bytes)
