"""Updates of a box with two slots, as they happen: U-Boot and boot.cmd choose the slot, RAUC installs bundles from sticks,
andon-mark-good keeps a system or gives it up, the power fails. `vm.py update`.

Each check leaves a box that runs, is proven and has no stick, and says in what slot and of what version.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import time
from pathlib import Path

from . import appliance, checks, header, image, parts, systems
from .boards import EVK
from .machine import Machine
from .outside import Relay
from .places import cache, run, say
from .trial import Failed, Trial

# Of update/root/etc/systemd/system/andon-mark-good.service.d/rig.conf.
PROOF_SECONDS = 20
# A system that never gets ready is given up after this.
SHORT_DEADLINE = 60
# The kernel feeds a watchdog that nobody opens for so long (`andon_open_timeout`).
SHORT_OPEN_TIMEOUT = 40
# Everything is emulated, and other work may run beside it.
PATIENCE = 1800

EDITED = "# edited on the box\n"

# As much of a slot as shows that somebody writes another file system there: ext4's superblock.
HEAD_BYTES = 4096


class Box:
    """An i.MX 8M Mini EVK with a card in its slot, relay and button at its header, and a USB socket for sticks."""

    def __init__(self, made: parts.Parts, disk: Path, out: Path) -> None:
        self.parts, self.card, self.out = made, disk, out
        self.starts = 0
        self.machine: Machine | None = None
        self.relay: Relay | None = None
        # Whether a stick was plugged in while the box runs.
        self.plugged = False

    def start(self, stick: Path | None = None) -> Machine:
        """Switches the box on, with a stick in it or not."""
        self.starts += 1
        self.plugged = False
        log = self.out / f"start-{self.starts}"
        boot = [
            *("-kernel", self.parts.loader),
            *("-device", f"loader,file={self.parts.ram_disk},addr={systems.RAM_DISK_AT:#x},force-raw=on"),
            # The second card controller's: mmc 1 for U-Boot, /dev/mmcblk1 for Linux.
            *("-drive", f"if=sd,bus=1,unit=0,file={self.card},format=raw,cache=unsafe,aio={quick_io()}"),
            # What is written to the pin controller, which QEMU does not have.
            *("-d", "unimp", "-D", log / header.PADS),
        ]
        more: list = []
        if stick is not None:
            more = ["-drive", f"if=none,id=stick,file={stick},format=raw,readonly=on"]
            more += ["-device", f"usb-storage,bus={EVK.usb},id=stick-device,drive=stick"]
        log.mkdir(parents=True)
        self.machine = Machine(self.parts.image, b"", log, size="800x480", boot=boot, more=more, board=EVK)
        self.relay = Relay(self.machine)
        self.relay.start()
        return self.machine

    def stop(self) -> None:
        """Switches the box off."""
        self.relay.end()
        self.machine.stop()

    def wait_guest(self) -> bool:
        """Waits until the agent answers, however often the box restarts before."""
        return self.machine.wait_guest(PATIENCE)

    def plug(self, stick: Path) -> None:
        """Plugs a stick in."""
        file = {"driver": "file", "filename": str(stick)}
        self.machine.qmp("blockdev-add", **{"driver": "raw", "node-name": "stick", "read-only": True, "file": file})
        self.machine.qmp("device_add", driver="usb-storage", bus=EVK.usb, id="stick-device", drive="stick")
        self.plugged = True

    def unplug(self) -> None:
        """Pulls the stick out, where one is in."""
        gone = self.machine.count("DEVICE_DELETED")
        self.machine.qmp("device_del", id="stick-device")
        if self.machine.wait_event("DEVICE_DELETED", gone, 60) is None:
            raise Failed("the stick cannot be pulled out")
        # One that was in at the start goes with its device.
        if self.plugged:
            self.machine.qmp("blockdev-del", **{"node-name": "stick"})
            self.plugged = False

    def loader_starts(self) -> int:
        """How often U-Boot has started since the box was switched on."""
        log = self.machine.out / "serial.log"
        return log.read_text(errors="replace").count("U-Boot 2025.01")


def quick_io() -> str:
    """How QEMU reads the card. It does so 512 bytes at a time, and a thread of its own for each of them is slow on a busy
    host; io_uring needs none."""
    switch = Path("/proc/sys/kernel/io_uring_disabled")
    return "io_uring" if switch.exists() and switch.read_text().strip() == "0" else "threads"


class Update:
    """The box under test, and the checks."""

    def __init__(self, box: Box, folder: Path, trial: Trial, bundles: dict[str, Path], slots: dict[str, tuple[int, int]]):
        self.box, self.folder, self.trial = box, folder, trial
        self.bundles, self.slots = bundles, slots

    # ---- What the box says ---------------------------------------------------------------------------------------

    def slot(self) -> str:
        return self.trial.must(r"sed -n 's/.*rauc\.slot=\([AB]\).*/\1/p' /proc/cmdline").strip()

    def version(self) -> str:
        return self.trial.must("sed -n 's/^IMAGE_VERSION=//p' /usr/lib/os-release").strip()

    def variables(self) -> dict[str, str]:
        """U-Boot's variables, as Linux reads them."""
        text = self.trial.must("fw_printenv BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT")
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    def journal(self, unit: str) -> str:
        return self.trial.must(f"journalctl --no-pager --output short-monotonic --unit '{unit}'")

    def runs(self, slot: str, version: str) -> None:
        """Fails unless this version runs in this slot, and says so itself once its configuration is there."""
        if (found := self.slot()) != slot:
            raise Failed(f"slot {found} runs, not {slot}; {self.variables()}")
        self.trial.wait(
            "the configuration is mounted",
            lambda: self.trial.machine.guest(f"test -e {self.trial.CONFIG}/andon.toml").good,
            PATIENCE,
        )
        # It cannot say everything while the program has the cameras, and then ends so.
        said = self.trial.machine.guest("andon probe", 600).text
        if f"image {version}, slot {slot}" not in said:
            raise Failed(f"`andon probe` says {said.splitlines()[:3]}, not image {version}, slot {slot}")

    def wait_good(self, slot: str, starts_left: str = "2") -> str:
        """Waits until andon-mark-good has called the slot good, and checks that it did so after the proof, not before."""
        left = f"BOOT_{slot}_LEFT"
        said = rf"\[ *([0-9.]+)\] .*slot {slot} is good"
        before = self.variables()[left]
        if before != starts_left and not re.search(said, self.journal("andon-mark-good")):
            raise Failed(f"{left} is {before} before the proof, not {starts_left}")
        found = self.trial.wait(
            f"slot {slot} is called good", lambda: re.search(said, self.journal("andon-mark-good")), PATIENCE, 5
        )
        ready = int(self.trial.service("ActiveEnterTimestampMonotonic")["ActiveEnterTimestampMonotonic"]) / 1e6
        proof = float(found[1]) - ready
        if not 0 < ready or proof < PROOF_SECONDS:
            raise Failed(f"called good {proof:.1f} s after READY; the proof takes {PROOF_SECONDS} s")
        if (after := self.variables())[left] != "3":
            raise Failed(f"called good, but {after}")
        return f"good {proof:.0f} s after READY (proof {PROOF_SECONDS} s), {left} {before}, then 3"

    def wait_restart(self, known: int, what: str) -> None:
        """Waits until the machine has restarted more often than known, and the guest answers."""
        machine = self.box.machine
        if machine.wait_event("RESET", known, PATIENCE) is None:
            said = machine.guest("journalctl --no-pager --unit 'andon-update@*'", grace=5).text
            raise Failed(f"no restart {what}; {said[-600:]}")
        if not self.box.wait_guest():
            raise Failed(f"the guest does not answer {what}")

    def plug(self, name: str) -> int:
        """Plugs a stick with this bundle in; how often the machine had restarted before."""
        known = self.box.machine.count("RESET")
        self.box.plug(systems.make_stick(self.folder, self.bundles[name]))
        return known

    def region(self, slot: str, length: int | None = None) -> bytes:
        """What lies on the card in a slot."""
        start, size = self.slots[slot]
        with self.box.card.open("rb") as file:
            file.seek(start)
            return file.read(length or size)

    # ---- The checks --------------------------------------------------------------------------------------------------

    def first_start(self, trial: Trial) -> str:
        if not self.box.wait_guest():
            raise Failed(f"the guest does not answer; {trial.machine.out}/serial.log has what it said")
        self.runs("A", "1")
        model = trial.must("cat /proc/device-tree/model").strip("\0")
        root = trial.must("findmnt -n -o SOURCE,OPTIONS /").split()
        if "i.MX8MM EVK" not in model or root[0] != "/dev/mmcblk1p2" or not root[1].startswith("ro"):
            raise Failed(f"board {model}, root {root}")
        proof = self.wait_good("A")
        return f"{model}, image 1, slot A, root {root[0]} read-only; {proof}"

    def installed(self, trial: Trial) -> str:
        events = trial.events()
        trial.must(f"printf '%s' '{EDITED}' >>{trial.CONFIG}/keepout.toml")
        # The last table of the file; a system on trial needs the watchdog all the same.
        text = trial.must(f"cat {trial.CONFIG}/andon.toml")
        trial.must(f"sed -i '/^\\[watchdog\\]/,$d' {trial.CONFIG}/andon.toml; sync")
        order = self.variables()["BOOT_ORDER"]
        known = self.plug("2")
        self.wait_restart(known, "after the stick was plugged in")
        self.runs("B", "2")
        if not self.variables()["BOOT_ORDER"].startswith("B"):
            raise Failed(f"slot B runs, but {self.variables()}")
        proof = self.wait_good("B")
        self.took_the_watchdog()
        if not trial.must(f"cat {trial.CONFIG}/keepout.toml").endswith(EDITED):
            raise Failed("the edited keepout file did not survive")
        kept = trial.events()
        if not events or kept[: len(events)] != events:
            raise Failed(f"the {len(events)} events from before are not the first of the {len(kept)} now")
        trial.wait(
            "the stick is refused the second time",
            lambda: "version 2 was installed before" in self.journal("andon-update@*"),
            300,
        )
        if trial.machine.count("RESET") != known + 1:
            raise Failed("the box restarted again")
        self.box.unplug()
        trial.write("andon.toml", text)
        trial.must("systemctl restart andon", 300)
        return f"BOOT_ORDER {order}, then {self.variables()['BOOT_ORDER']}; {proof}; {len(events)} events and the edit kept"

    def foreign(self, trial: Trial) -> str:
        return self.refused("foreign", "not signed under this box's certificate", "A")

    def tampered(self, trial: Trial) -> str:
        said = self.refused("tampered", "fail", None)
        if not (order := self.variables()["BOOT_ORDER"]).startswith("B"):
            raise Failed(f"BOOT_ORDER {order} after a failed installation")
        if trial.must("cat /etc/andon/rauc/trial 2>/dev/null || true").strip():
            raise Failed("a trial is on record")
        return said

    def refused(self, name: str, words: str, untouched: str | None) -> str:
        """A bundle that must not be installed; the other slot's content stays where it is not even opened."""
        before = self.variables()
        content = self.region(untouched) if untouched else b""
        lines = len(self.journal("andon-update@*").splitlines())
        known = self.plug(name)

        def ended() -> list[str]:
            new = self.journal("andon-update@*").splitlines()[lines:]
            return new if any("Failed to start" in line or "Failed with result" in line for line in new) else []

        said = self.trial.wait("andon-update ends with a failure", ended, PATIENCE, 3)
        self.box.unplug()
        reason = [line.split(": ", 1)[-1] for line in said if words in line]
        if not reason:
            raise Failed(f"it failed without saying why: {said[-4:]}")
        if self.box.machine.count("RESET") != known or self.slot() != "B":
            raise Failed("the box restarted")
        if untouched and (self.variables() != before or self.region(untouched) != content):
            raise Failed(f"something changed: {before}, now {self.variables()}")
        return f"{reason[0].strip()}; BOOT_ORDER {self.variables()['BOOT_ORDER']}"

    def power_cut(self, trial: Trial) -> str:
        # What was refused before has left the same bytes there.
        trial.must(f"dd if=/dev/zero of=/dev/mmcblk1p2 bs={HEAD_BYTES} count=1 conv=fsync")
        before = self.region("A", HEAD_BYTES)
        stick = systems.make_stick(self.folder, self.bundles["3"])
        self.box.plug(stick)
        trial.wait("slot A is being written", lambda: self.region("A", HEAD_BYTES) != before, PATIENCE, 0.2)
        time.sleep(1)
        self.box.machine.cut_power()
        self.box.stop()
        new = (self.folder / "root-3.img").read_bytes()
        if self.region("A", len(new)) == new:
            raise Failed("slot A was written already when the power was cut")
        trial.machine = self.box.start(stick)
        if not self.box.wait_guest():
            raise Failed("the guest does not answer after the power cut")
        variables = self.variables()
        self.runs("B", "2")
        # The stick is still in: once this system is proven, the update is installed from the start.
        self.wait_restart(0, "by the stick that stayed in")
        self.runs("A", "3")
        proof = self.wait_good("A")
        self.box.unplug()
        return f"slot B after it ({variables}), then by the stick that stayed in image 3, slot A: {proof}"

    def never_ready(self, trial: Trial) -> str:
        old = self.version()
        known = self.plug("silent")
        self.wait_restart(known, "into the update")
        if self.slot() != "B":
            raise Failed(f"slot {self.slot()} runs, not the update in B")
        self.box.unplug()
        # Its clock runs although the program is not ready. The guest answers before either is started.
        states = "systemctl is-active andon andon-mark-good || true"
        trial.wait(
            "andon and andon-mark-good are both on their way",
            lambda: trial.must(states).split() == ["activating", "activating"],
            300,
            1,
        )
        self.wait_restart(known + 1, "out of the update")
        self.runs("A", old)
        return f"given up by itself after {SHORT_DEADLINE} s; {self.gone_back('A', 'B')}"

    def panics(self, trial: Trial) -> str:
        return self.tried_thrice("rootless", "of a system without init", bites=0)

    def frozen(self, trial: Trial) -> str:
        trial.must(f"fw_setenv andon_open_timeout {SHORT_OPEN_TIMEOUT}")
        said = self.tried_thrice("crashing", "of a system whose init has crashed", bites=3)
        trial.must("fw_setenv andon_open_timeout")
        return said

    def hangs(self, trial: Trial) -> str:
        return self.tried_thrice("hanging", "of a kernel that hangs", bites=3)

    def tried_thrice(self, version: str, what: str, bites: int) -> str:
        """A system in slot B that never gets as far as to give itself up; so often the watchdog has to bite."""
        old, machine = self.version(), self.box.machine
        starts, bitten = self.box.loader_starts(), machine.count("WATCHDOG")
        known = self.plug(version)
        self.wait_restart(known + 3, f"{what}, three times")
        self.box.unplug()
        self.runs("A", old)
        tried, bitten = self.box.loader_starts() - starts - 1, machine.count("WATCHDOG") - bitten
        if (tried, bitten) != (3, bites):
            raise Failed(f"U-Boot tried slot B {tried} times, not 3; the watchdog bit {bitten} times, not {bites}")
        return f"U-Boot tried slot B {tried} times, the watchdog bit {bitten} times; {self.gone_back('A', 'B')}"

    def header(self, trial: Trial) -> str:
        return header.check(trial, self.box.relay)

    def took_the_watchdog(self) -> None:
        """Fails unless the program has opened the watchdog, which its configuration does not name, and says why."""
        said = "[watchdog] names no device, but the kernel restarts this machine unless its watchdog is opened within 732s"
        opened = self.trial.must("readlink /proc/$(systemctl show -P MainPID andon)/fd/*").split()
        if said not in self.journal("andon") or "/dev/watchdog" not in opened:
            raise Failed(f"the watchdog was not taken over: {opened}")

    def gone_back(self, slot: str, tried: str) -> str:
        """Waits until the old slot says what became of the trial, and is proven again."""
        # It was made active again, which gives it its starts back.
        proof = self.wait_good(slot, "3")
        words = f"the update in slot {tried} did not prove itself"
        if words not in self.journal("andon-mark-good"):
            raise Failed(f"the journal does not say `{words}`")
        variables = self.variables()
        if not variables["BOOT_ORDER"].startswith(slot) or variables[f"BOOT_{tried}_LEFT"] != "0":
            raise Failed(f"the boot loader would still try slot {tried}: {variables}")
        return f"the journal says so; {variables}; {proof}"

    def all(self) -> list:
        return [
            ("U-Boot starts slot A, which proves itself", self.first_start),
            ("the board's header", self.header),
            ("an update from a stick", self.installed),
            ("a bundle signed with another key", self.foreign),
            ("a bundle with a changed byte", self.tampered),
            ("a power cut while an update is written", self.power_cut),
            ("an update whose program never gets ready", self.never_ready),
            ("an update whose kernel panics", self.panics),
            ("an update whose init crashes", self.frozen),
            ("an update whose kernel hangs", self.hangs),
        ]


def check_all(asked: argparse.Namespace, made: image.Image) -> int:
    """Makes a card and bundles, starts the box and checks it; gives the exit status."""
    made_from = parts.make(made)
    run(["rm", "-rf", asked.out])
    asked.out.mkdir(parents=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="andon-update-", dir=cache()) as name:
        folder = Path(name)
        bundles, disk, slots = prepare(made_from, folder, asked.binary)
        box = Box(made_from, disk, asked.out)
        trial = Trial(box.start(), asked.out, "vivid", "none", "800x480", [])
        update = Update(box, folder, trial, bundles, slots)
        try:
            first, *others = update.all()
            for what, function in [first, *(check for check in others if (asked.only or "") in check[0])]:
                # Each begins where the one before ended: after a failure nothing later means anything.
                if not trial.check(what, function):
                    break
        finally:
            checks.keep_evidence(trial)
            box.stop()
    return checks.report(trial, time.monotonic() - started)


def prepare(made: parts.Parts, folder: Path, binary: Path) -> tuple[dict[str, Path], Path, dict[str, tuple[int, int]]]:
    """Makes everything that the checks need: bundles by name, the card, and where on it the slots are."""
    keys, other_keys = systems.make_keys(folder / "keys"), systems.make_keys(folder / "other-keys")
    say("making systems and bundles")
    root = systems.system(made, folder, binary, keys)
    images = {}
    for version in ("1", "2", "3"):
        systems.set_version(root, version)
        images[version] = systems.to_image(root, folder / f"root-{version}.img")
    systems.set_version(root, "silent", SHORT_DEADLINE)
    systems.never_ready(root)
    images["silent"] = systems.to_image(root, folder / "root-silent.img")
    systems.set_version(root, "crashing")
    for name, spoil in (
        ("crashing", systems.crash_init),
        ("rootless", systems.without_init),
        ("hanging", systems.hang_kernel),
    ):
        spoil(root)
        images[name] = systems.to_image(root, folder / f"root-{name}.img")
    run(["rm", "-rf", root])

    first, *others = images
    bundles = {name: systems.bundle(made, folder, images[name], keys, name) for name in others}
    foreign = folder / "foreign.img"
    foreign.write_bytes(os.urandom(1 << 20))
    bundles["foreign"] = systems.bundle(made, folder, foreign, other_keys, "foreign")
    bundles["tampered"] = folder / "andon-bundle-tampered.raucb"
    changed = bytearray(bundles["3"].read_bytes())
    changed[len(changed) // 2] ^= 0xFF
    bundles["tampered"].write_bytes(changed)

    configuration = {
        "andon.toml": appliance.configuration(systems.BOARD, "vivid", "none"),
        "keepout.toml": (appliance.SITE / "keepout.toml").read_text(),
    }
    disk, places = systems.make_card(made, folder, images[first], configuration)
    return bundles, disk, {"A": places["root-a"], "B": places["root-b"]}
