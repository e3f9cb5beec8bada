#!/usr/bin/env python3
"""Checks the Yocto layer, the overlays and the appliance's files, without Yocto: `make test-yocto`.

Each check prints `ok`, `FAIL` with the reason, or `skipped` with what is missing. Only package registries are asked, for the
two tools that common.py names, which are kept in the cache; with CI=true a tool that cannot be had is a failure.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import appliance
import layer
import overlays
import updates
from common import Missing, Skip

CHECKS = [*layer.CHECKS, *overlays.CHECKS, *appliance.CHECKS, *updates.CHECKS]


def made(name: str, check, folder: Path) -> str:
    """Makes one check in a folder of its own, prints what came of it, and says that in a word."""
    folder.mkdir()
    try:
        if check.__code__.co_argcount:
            check(folder)
        else:
            check()
    except Skip as reason:
        if isinstance(reason, Missing) and os.environ.get("CI") == "true":
            print(f"FAIL     {name}\n         cannot be made, and in CI it must be: {reason}", flush=True)
            return "failed"
        print(f"skipped  {name}: {reason}", flush=True)
        return "skipped"
    except (AssertionError, OSError, subprocess.SubprocessError) as error:
        reason = (str(error) or repr(error)).replace("\n", "\n         ")
        print(f"FAIL     {name}\n         {reason}", flush=True)
        return "failed"
    print(f"ok       {name}", flush=True)
    return "passed"


def main() -> int:
    results = []
    with tempfile.TemporaryDirectory(prefix="andon-yocto-") as scratch:
        for number, (name, check) in enumerate(CHECKS):
            results.append(made(name, check, Path(scratch) / str(number)))
    print(", ".join(f"{results.count(word)} {word}" for word in ("passed", "failed", "skipped")))
    return 1 if "failed" in results else 0


if __name__ == "__main__":
    sys.exit(main())
