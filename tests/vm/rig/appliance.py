"""The appliance's own files: the program, what tools/install-appliance.sh puts beside it, and the rig's site (../site)."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from .cpio import Archive
from .places import HERE, TREE, RigError, run

SITE = HERE / "site"

# Lines by name on the simulated chip inside the guest, and by number on the board's own chip, which can be seen and
# touched from outside (boards.py).
WIRINGS = {
    "inside": """
[output.lines]
run_permission = { chip = "rig-board", line = "RELAY1" }
warning = { chip = "rig-board", line = "LAMP" }
reject = { chip = "rig-board", line = "PUSHER" }
fault = { chip = "rig-board", line = "STACK_LIGHT" }
heartbeat = { chip = "rig-board", line = "PULSE" }

[output.inputs]
reset = { chip = "rig-board", line = "RESET_BUTTON" }
""",
    "outside": """
edm_within_ms = 5000

[output.lines]
run_permission = { chip = "9030000.pl061", line = 0 }
fault = { chip = "9030000.pl061", line = 1 }
heartbeat = { chip = "9030000.pl061", line = 2 }

[output.inputs]
reset = { chip = "9030000.pl061", line = 4 }
edm = { chip = "9030000.pl061", line = 5 }
""",
}


def factory_wiring(board: str) -> str:
    """The outputs and inputs of an appliance's board, as its image has them, with the emulated processor's patience."""
    text = (TREE / f"config/factory/output-{board}.toml").read_text()
    _, _, lines = text.partition('backend = "gpio"\n')
    return re.sub(r"(?m)^edm_within_ms = .*$", "edm_within_ms = 5000", lines)


CAMERAS = {
    "vivid": ("/dev/v4l/by-path/vivid-000-vid-cap", "/dev/v4l/by-path/vivid-001-vid-cap"),
    "pattern": ("pattern:moving?size=320x180&fps=5", "pattern:bars?size=320x180&fps=5"),
}


# What is asked of the simulated cameras: pictures that an emulated processor can draw.
SMALL = 'size = "320x180"\nfps = 1'


ON_CPU = {
    "ENGINE": "cpu",
    "DETECTOR": "detector_coco_ssd_300_int8",
    "CLASSIFIER": "classifier_apple_224_int8",
}

# The longest that the program takes: a host that is busy must not look like a program that hangs.
PATIENT_WATCHDOG = 300


def configuration(
    wiring: str,
    cameras: str,
    display: str,
    asked: tuple[str, str] = (SMALL, SMALL),
    watchdog: int = PATIENT_WATCHDOG,
    engine: dict[str, str] = ON_CPU,
) -> str:
    """The text of andon.toml: `wiring` is one of WIRINGS or an appliance's board, `asked` what is asked of the two cameras,
    `watchdog` the hardware watchdog's seconds, `engine` what runs which models."""
    worker_safety, visual_inspection = CAMERAS[cameras]
    tables = asked if cameras == "vivid" else ("", "")
    text = (SITE / "andon.toml").read_text()
    for name, value in {
        "WORKER_SAFETY": worker_safety,
        "VISUAL_INSPECTION": visual_inspection,
        "WORKER_SAFETY_CAMERA": tables[0],
        "VISUAL_INSPECTION_CAMERA": tables[1],
        "OUTPUTS": WIRINGS.get(wiring) or factory_wiring(wiring),
        "DISPLAY": display,
        "WATCHDOG": str(watchdog),
        **engine,
    }.items():
        text = text.replace(f"@{name}@", value)
    return text


def archive(binary: Path, cameras: str, display: str) -> Archive:
    """Everything of the appliance, to be read by the kernel after the first RAM disk."""
    if not binary.exists():
        raise RigError(f"{binary} is not there: make aarch64")
    packed = Archive()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        run([TREE / "tools/install-appliance.sh", root, "qemuarm64", binary])
        packed.tree(root, "appliance")
    packed.file("appliance/etc/andon/andon.toml", configuration("inside", cameras, display).encode())
    packed.file("appliance/etc/andon/keepout.toml", (SITE / "keepout.toml").read_bytes())
    units = "appliance/etc/systemd/system"
    packed.file(f"{units}/andon.service.d/rig.conf", (SITE / "andon.service.d/rig.conf").read_bytes())
    packed.link(f"{units}/multi-user.target.wants/andon.service", "/usr/lib/systemd/system/andon.service")
    return packed
