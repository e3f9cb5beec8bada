"""What the checks share: where things are, how a program is run, and what a check is that cannot be made."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
TREE = HERE.parent.parent
LAYER = TREE / "yocto/meta-andon"
KAS = TREE / "yocto/kas"

# Linter of recipes, and the schema of kas files.
REQUIREMENTS = ("oelint-adv==9.11.2", "kas==5.5")


class Skip(Exception):
    """A check that cannot be made here, and why."""


class Missing(Skip):
    """A check that cannot be made because a tool is missing that every machine can have: in CI that is a failure."""


def run(*command, **options) -> subprocess.CompletedProcess:
    """Runs a program; what it printed is in the result."""
    words = [str(part) for part in command]
    return subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, **options)


def good(*command, **options) -> str:
    """Runs a program that must succeed; gives what it printed."""
    done = run(*command, **options)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}{done.stderr}".strip()
    return done.stdout


def needs(*programs: str) -> None:
    """Skips unless all of them are installed."""
    for program in programs:
        if not shutil.which(program):
            raise Missing(f"{program} is not installed (make setup)")


def cache() -> Path:
    """Where the project keeps what it has fetched."""
    base = os.environ.get("ANDON_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "andon"
    return Path(base)


def tools() -> Path:
    """The folder with the programs of REQUIREMENTS; installs them into the cache the first time."""
    venv = cache() / ("yocto-" + "-".join(requirement.replace("==", "-") for requirement in REQUIREMENTS))
    if not (venv / "complete").exists():
        print(f"yocto: installing {', '.join(REQUIREMENTS)} from PyPI into {venv}", flush=True)
        shutil.rmtree(venv, ignore_errors=True)
        made = run(sys.executable, "-m", "venv", venv)
        if made.returncode == 0:
            made = run(venv / "bin/pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS)
        if made.returncode != 0:
            shutil.rmtree(venv, ignore_errors=True)
            raise Missing(
                f"{', '.join(REQUIREMENTS)} cannot be installed: {(made.stderr.strip().splitlines() or [''])[-1]}"
            )
        (venv / "complete").touch()
    return venv / "bin"
