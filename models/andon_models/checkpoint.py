"""One file that holds how far a training has come: replaced as a whole, so that a cut leaves the one before."""

import json
import os
from pathlib import Path

import numpy as np


def save(path: Path, state: dict, arrays: dict[str, list[np.ndarray]]) -> None:
    """Writes `state` (JSON) and lists of arrays; the file is whole or the old one."""
    flat = {f"{name}/{index}": array for name, group in arrays.items() for index, array in enumerate(group)}
    partial = path.with_suffix(".partial")
    with open(partial, "wb") as stream:
        np.savez(stream, state=np.array(json.dumps(state)), **flat)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def load(path: Path) -> tuple[dict, dict[str, list[np.ndarray]]] | None:
    """What `save` wrote, or nothing where there is no such file."""
    if not path.exists():
        return None
    groups: dict[str, dict[int, np.ndarray]] = {}
    with np.load(path, allow_pickle=False) as content:
        state = json.loads(str(content["state"]))
        for key in content.files:
            if key != "state":
                name, index = key.rsplit("/", 1)
                groups.setdefault(name, {})[int(index)] = content[key]
    return state, {name: [group[index] for index in sorted(group)] for name, group in groups.items()}
