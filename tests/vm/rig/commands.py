"""What vm.py can be asked for."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator

from . import appliance, image
from .machine import Machine
from .places import RigError, cache, say


def do(asked: argparse.Namespace) -> int:
    """Does what was asked; gives the exit status."""
    if asked.command == "cached":
        return 0 if image.find().complete and any(cache().glob("tflite-*/aarch64/about.txt")) else 1
    made = image.make()
    if asked.command == "make":
        return 0
    if asked.command in ("update", "pi"):
        from . import pi, update

        with alone():
            return {"update": update, "pi": pi}[asked.command].check_all(asked, made)
    packed = appliance.archive(asked.binary, asked.cameras, asked.display)
    with alone():
        if asked.command == "show":
            return show(asked, made, packed.bytes())
        if asked.command == "run":
            return run_folder(asked, made, packed.bytes())
        from . import checks, tpu

        models = tpu.compiled(cache() / "vm-models")
        tpu.install(packed, models)
        return checks.check_all(asked, made, packed.bytes(), models)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """One machine at a time: two would be too slow for each other's checks."""
    with (cache() / "vm-running.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another machine to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def window() -> tuple[list[str] | None, str]:
    """Which QEMU shows a window here, and how; the pinned one has none, so it serves VNC instead."""
    if os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY"):
        own = shutil.which("qemu-system-aarch64")
        if own:
            return [own], "gtk"
        say("for a window: apt-get install qemu-system-arm qemu-system-gui")
    say("the picture is served by VNC on this machine: vncviewer localhost:5905")
    return None, "vnc=localhost:5"


def show(asked: argparse.Namespace, made: image.Image, packed: bytes) -> int:
    """The machine for a person: a window and a root shell."""
    qemu, display = window()
    say("a root shell follows on this terminal; `poweroff` or Ctrl-A X ends the machine")
    with Machine(made, packed, asked.out, size=asked.size, display=display, console=True, qemu=qemu) as machine:
        machine.wait()
    return 0


def run_folder(asked: argparse.Namespace, made: image.Image, packed: bytes) -> int:
    """A machine for somebody's own script, without the service."""
    script = asked.folder / "run.sh"
    if not script.exists():
        raise RigError(f"{script} is not there")
    with Machine(made, packed, asked.out, size=asked.size, share=asked.folder) as machine:
        if not machine.wait_guest(120):
            raise RigError(f"the guest does not answer; {asked.out}/serial.log has what it said")
        answer = machine.guest(
            "systemctl stop andon; modprobe -a 9pnet_virtio 9p; "
            "mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 share /share && cd /share && sh run.sh",
            asked.seconds,
        )
        machine.screenshot("run")
    print(answer.text, end="")
    return answer.status
