"""The Raspberry Pi 4's header, on QEMU's board with the device tree of Debian's kernel: what each overlay does to the pins,
and the program on all of them. `vm.py pi`.

The system is a RAM disk: busybox, the rig's agent, the appliance's files. What the Pi's firmware does (config.txt, tryboot)
is not here, nor is its watchdog: QEMU's restarts the machine as soon as it is opened.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from pathlib import Path

from . import appliance, checks, image, parts
from .boards import PI
from .cpio import Archive
from .machine import Machine
from .outside import Relay, energise
from .places import HERE, TREE, RigError, run, tool
from .trial import Failed, Trial

BOARD = "raspberrypi4-64"
INIT = HERE / "pi/init"
UP, DOWN = 1, 2

# What each overlay pulls where, by the pins' numbers (docs/appliance.md, "Wire it").
OVERLAYS = {
    "relay-board": {17: DOWN, 22: DOWN},
    "reset-button": {5: UP},
    "edm": {6: UP},
    "mute-sensor": {13: UP},
    "heartbeat": {24: DOWN},
    "stack-light": {27: DOWN, 23: DOWN},
}
OUTPUTS = {17: "run-permission", 22: "reject", 23: "fault", 24: "heartbeat", 27: "warning"}
OFF_BEFORE_A_RESET = (17, 22)
INPUTS = {5: "reset", 6: "edm", 13: "mute"}
HEADER = range(28)
(CHIP,) = PI.chips

# QEMU's board has no HDMI; what drives it would end the kernel. The serial line is the agent's.
NOT_IN_QEMU = (
    *("/soc/interrupt-controller@7ef00100", "/soc/i2c@7ef04500", "/soc/i2c@7ef09500", "/soc/clock@7ef00000"),
    *("/soc/hdmi@7ef00700", "/soc/hdmi@7ef05700", "/soc/serial@7e201000/bluetooth"),
)

LIBRARIES = "ld-linux-aarch64.so.1 libgbm.so.1 libm.so.6 libgcc_s.so.1 libc.so.6 libdrm.so.2 libexpat.so.1".split()
# What a kernel of the appliance has built in (andon.cfg).
MODULE = "fixed.ko"


def check_all(asked: argparse.Namespace, made: image.Image) -> int:
    """Starts the board with each overlay alone and with all of them; gives the exit status."""
    made_from = parts.make(made)
    run(["rm", "-rf", asked.out])
    asked.out.mkdir(parents=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="andon-pi-") as name:
        pi = Pi(made_from, Path(name), asked.out, asked.binary)
        # Each check starts a machine of its own.
        trial = Trial(None, asked.out, "pattern", "none", "", [])
        for overlay, pulls in OVERLAYS.items():
            trial.check(f"the overlay {overlay}", lambda _, overlay=overlay, pulls=pulls: pi.overlay(overlay, pulls))
        trial.check("the program on all of them", pi.program)
    return checks.report(trial, time.monotonic() - started)


class Pi:
    """The board, made and started anew for each check."""

    def __init__(self, made: parts.Parts, folder: Path, out: Path, binary: Path) -> None:
        self.parts, self.folder, self.out = made, folder, out
        self.ram_disk = folder / "initrd.cpio"
        self.ram_disk.write_bytes(ram_disk(made, folder, binary))

    def start(self, name: str, overlays: list[str], pull: int) -> Machine:
        """A machine whose pins were all pulled so before the kernel starts."""
        boot = [
            *("-kernel", self.parts.root / "boot/Image", "-initrd", self.ram_disk, "-dtb", self.tree(overlays), "-S"),
            *("-append", "console=ttyS1 loglevel=4 panic=5"),
        ]
        machine = Machine(self.parts.image, b"", self.out / name, boot=boot, board=PI)
        CHIP.pull_all(machine, pull)
        machine.qmp("cont")
        if not machine.wait_guest(300):
            machine.stop()
            raise Failed(f"the guest does not answer; {machine.out}/serial.log has what it said")
        return machine

    def tree(self, overlays: list[str]) -> Path:
        """The board's device tree with these overlays, as the firmware would make it."""
        compiled = []
        for name in overlays:
            target = self.folder / f"{name}.dtbo"
            source = TREE / f"overlays/andon-rpi4-{name}.dtso"
            run([tool("dtc", "device-tree-compiler"), "-q", "-@", "-I", "dts", "-O", "dtb", "-o", target, source])
            compiled.append(target)
        tree = self.folder / "board.dtb"
        run([tool("fdtoverlay", "device-tree-compiler"), "-i", self.parts.pi_tree, "-o", tree, *compiled])
        for node in NOT_IN_QEMU:
            run([tool("fdtput", "device-tree-compiler"), "-t", "s", tree, node, "status", "disabled"])
        return tree

    def overlay(self, name: str, pulls: dict[int, int]) -> str:
        """All pins are pulled the other way before; the overlay's are pulled as it says then, and no other is."""
        before = DOWN if UP in pulls.values() else UP
        machine = self.start(name, [name], before)
        try:
            found = {pin: CHIP.pull(machine, pin) for pin in HEADER}
            driven = [pin for pin in HEADER if CHIP.is_output(machine, pin)]
        finally:
            machine.stop()
        changed = {pin: pull for pin, pull in found.items() if pull != before}
        if changed != pulls or driven:
            raise Failed(f"pulled {changed}, not {pulls}; outputs {driven}")
        return ", ".join(f"GPIO{pin} {'up' if pull == UP else 'down'}" for pin, pull in sorted(pulls.items()))

    def program(self, trial: Trial) -> str:
        machine = trial.machine = self.start("program", list(OVERLAYS), UP)
        relay = Relay(machine)
        try:
            relay.start()
            probed = machine.guest("andon probe", 120).text
            for pin, name in {**OUTPUTS, **INPUTS}.items():
                if f" {pin}  andon-{name} " not in probed:
                    raise Failed(f"`andon probe` knows no line {pin} called andon-{name}: {probed[-1500:]}")
            trial.must("andon run --config /etc/andon/andon.toml --report /run/andon/report.jsonl >/run/andon/log 2>&1 &")
            trial.wait_state("interlocked", "locked_out")
            if high := [pin for pin in OFF_BEFORE_A_RESET if CHIP.level(machine, pin)]:
                raise Failed(f"high before a reset: {high}")
            pulses = energise(trial, relay)
            trial.must("kill -9 $(pidof andon)")
            trial.wait("the relay drops out after SIGKILL", lambda: not relay.energised, 30, 0.02)
            kept = [pin for pin in OUTPUTS if CHIP.is_output(machine, pin) or CHIP.pull(machine, pin) != DOWN]
            if kept:
                raise Failed(f"not let go of and pulled down after SIGKILL: {kept}")
        finally:
            with contextlib.suppress(OSError):
                (machine.out / "andon.txt").write_text(machine.guest("cat /run/andon/log").text)
            relay.end()
            machine.stop()
        return (
            f"{len(OUTPUTS) + len(INPUTS)} names; relay on by the button, {pulses} edges of the heartbeat in 3 s; after SIGKILL "
            "the kernel lets go of all outputs, pulled down"
        )


def ram_disk(made: parts.Parts, folder: Path, binary: Path) -> bytes:
    """The whole system."""
    if not binary.exists():
        raise RigError(f"{binary} is not there: make aarch64")
    packed = Archive()
    for name in ("dev", "proc", "sys", "tmp", "run", "var/lib/andon"):
        packed.folder(name)
    packed.file("bin/busybox", (made.root / "usr/bin/busybox").read_bytes(), 0o755)
    for name in LIBRARIES:
        packed.file(f"lib/{name}", (made.root / "usr/lib/aarch64-linux-gnu" / name).resolve().read_bytes(), 0o755)
    (module,) = made.root.glob(f"usr/lib/modules/*/kernel/drivers/regulator/{MODULE}")
    packed.file("module.ko", module.read_bytes())
    packed.file("agent", (image.GUEST / "usr/lib/rig/agent").read_bytes(), 0o755)
    packed.file("init", INIT.read_bytes(), 0o755)
    files = folder / "appliance"
    run([TREE / "tools/install-appliance.sh", files, BOARD, binary])
    for path in sorted((files / "usr").iterdir()):
        packed.tree(path, f"usr/{path.name}")
    # Whoever opens QEMU's watchdog restarts it.
    text, _, _ = appliance.configuration(BOARD, "pattern", "none").partition("[watchdog]")
    packed.file("etc/andon/andon.toml", text.encode())
    packed.file("etc/andon/keepout.toml", (appliance.SITE / "keepout.toml").read_bytes())
    return packed.bytes()
