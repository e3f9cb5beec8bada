"""What a cut training goes on from: the outputs of the frozen part, filled row by row, and what they belong to."""

import argparse
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .errors import UserError
from .photographs import File

CHUNK = 256

# Options that do not change what is worked out, or that may be changed half-way: a training that takes too long can be
# ended after the epochs it has by starting it again with fewer.
INDIFFERENT = {"out", "restart", "workers", "command", "run", "data", "name", "labels", "epochs", "patience"}


class FeatureStore:
    """Half-precision rows in a file that is filled in chunks; how far it came is in a file beside it."""

    def __init__(self, path: Path, count: int, shape: tuple[int, ...]) -> None:
        self._done_file = path.with_suffix(".done")
        known = path.exists() and self._done_file.exists()
        mode = "r+" if known else "w+"
        self.rows = np.lib.format.open_memmap(path, mode=mode, dtype=np.float16, shape=(count, *shape))
        self.done = int(self._done_file.read_text()) if known else 0

    def fill(self, make: Callable[[int, int], np.ndarray]) -> None:
        """Fills what is missing with `make(start, stop)`."""
        while self.done < len(self.rows):
            stop = min(self.done + CHUNK, len(self.rows))
            self.rows[self.done : stop] = make(self.done, stop)
            self.rows.flush()
            partial = self._done_file.with_suffix(".partial")
            partial.write_text(str(stop))
            partial.replace(self._done_file)
            self.done = stop
            print(f"pictures drawn: {stop} of {len(self.rows)}", flush=True)


def require_same_run(work: Path, files: list[File], arguments: argparse.Namespace) -> None:
    """Notes data and options in the work folder, or refuses to go on with what belongs to others."""
    options = {key: value for key, value in sorted(vars(arguments).items()) if key not in INDIFFERENT}
    digest = hashlib.sha256(json.dumps(options, default=str).encode())
    for file in files:
        digest.update(f"{file.label} {file.path.name} ".encode())
        digest.update(np.ascontiguousarray(file.pixels))
    known, path = digest.hexdigest(), work / "run.txt"
    if path.exists() and path.read_text() != known:
        raise UserError(f"{work} holds a training with other photographs or options; add --restart to forget it")
    path.write_text(known)
