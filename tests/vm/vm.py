#!/usr/bin/env python3
"""The appliance in a virtual machine.

    tests/vm/vm.py make                 fetch and make what the machine starts from; nothing when the cache has it
    tests/vm/vm.py cached               status 0 where the cache has it
    tests/vm/vm.py show                 start it; with a window where there is a display, and a root shell on the terminal
    tests/vm/vm.py test [--only WORD]   start it without a window and check what it does
    tests/vm/vm.py update               start an i.MX 8M Mini EVK with two slots, and update it: good, bad and interrupted ones
    tests/vm/vm.py pi                   start a Raspberry Pi 4 with each overlay of its header, and the program on all of them
    tests/vm/vm.py run FOLDER           start it with FOLDER as /share, run FOLDER/run.sh in it, print what it says, stop

README.md explains the machine and its checks.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

from rig import commands  # noqa: E402 - the folder has to be known first
from rig.places import TREE, RigError  # noqa: E402

BINARY = TREE / "target/aarch64-unknown-linux-gnu/release/andon"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_subparsers(dest="command", required=True)
    which.add_parser("make")
    which.add_parser("cached")
    for name in ("show", "test", "run"):
        command = which.add_parser(name)
        command.add_argument("--binary", type=Path, default=BINARY, help="the program (default: %(default)s)")
        command.add_argument("--out", type=Path, default=TREE / "out/vm", help="folder of results (default: %(default)s)")
        command.add_argument("--size", default="800x480", help="the monitor's size (default: %(default)s)")
        command.add_argument("--cameras", choices=("vivid", "pattern"), default="vivid", help="what the cameras are")
        command.add_argument("--display", choices=("kms", "headless", "none"), default="kms", help="of the program")
        if name == "test":
            command.add_argument("--only", help="only checks whose name has this in it")
        if name == "run":
            command.add_argument("folder", type=Path)
            command.add_argument("--seconds", type=float, default=300, help="longest time (default: %(default)s)")
    for name in ("update", "pi"):
        command = which.add_parser(name)
        command.add_argument("--binary", type=Path, default=BINARY, help="the program (default: %(default)s)")
        command.add_argument("--out", type=Path, default=TREE / "out" / name, help="folder of results (default: %(default)s)")
        if name == "update":
            command.add_argument("--only", help="besides the first start, the checks with this in their names ('an update')")
    return parser.parse_args()


def main() -> int:
    try:
        return commands.do(arguments())
    except RigError as error:
        print(f"vm: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
