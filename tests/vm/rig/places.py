"""Where things lie, and how other programs are run."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
TREE = HERE.parents[1]


class RigError(Exception):
    """What a person has to hear; no trace of calls is shown."""


def cache() -> Path:
    """The cache that `make setup` uses, too."""
    if own := os.environ.get("ANDON_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "andon"


def tool(name: str, package: str) -> str:
    """Full path of a program; administrators' programs are not in everybody's PATH."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    found = shutil.which(name, path=path)
    if found is None:
        raise RigError(f"{name} is missing (package {package}): make setup ARCH=aarch64")
    return found


def run(command: list, **options) -> subprocess.CompletedProcess:
    """Runs a program that must succeed."""
    done = subprocess.run([str(word) for word in command], check=False, **options)
    if done.returncode != 0:
        said = (done.stderr or b"") if isinstance(done.stderr, (bytes, type(None))) else done.stderr.encode()
        raise RigError(f"{' '.join(str(word) for word in command)}: status {done.returncode} {said.decode().strip()}")
    return done


def say(text: str) -> None:
    print(f"vm: {text}", flush=True)
