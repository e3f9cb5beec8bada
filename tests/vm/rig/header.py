"""The EVK's header, as the appliance's overlays set it up and the program uses it, seen from outside the guest."""

from __future__ import annotations

import re
import time

from .boards import Line
from .outside import Relay, energise
from .trial import Failed, Trial

# What was written to the pin controller, in the folder of a start's results.
PADS = "pads.log"

# Where each function's pad is set up, by the i.MX 8M Mini's reference manual: IOMUXC_SW_MUX_CTL_PAD_*, ..._SW_PAD_CTL_PAD_*
OUTPUTS = {
    "run permission (ECSPI2_SCLK)": (0x204, 0x46C),
    "reject (ECSPI2_MOSI)": (0x208, 0x470),
    "warning (ECSPI2_MISO)": (0x20C, 0x474),
    "heartbeat (ECSPI2_SS0)": (0x210, 0x478),
    "fault (SAI5_RXD3)": (0x154, 0x3BC),
}
INPUTS = {
    "reset (SAI5_RXD0)": (0x148, 0x3B0),
    "EDM (SAI5_RXD1)": (0x14C, 0x3B4),
    "mute (SAI5_RXD2)": (0x150, 0x3B8),
}
# Pad is a GPIO; pull enabled, and upwards.
ALT5, PULL_ENABLED, PULL_UP = 5, 1 << 8, 1 << 6

# GPIO5_IO11.
REJECT = Line(4, 11)


def check(trial: Trial, relay: Relay) -> str:
    """Pads, then the relay by the button, then what a killed program leaves."""
    pads = written_pads((trial.machine.out / PADS).read_text(errors="replace"))
    wrong = [f"{name}: {told}" for name, told in (*judged(pads, OUTPUTS, up=False), *judged(pads, INPUTS, up=True)) if told]
    if wrong:
        raise Failed("; ".join(wrong))

    trial.wait_state("interlocked", "locked_out")
    if high := [line for line in (relay.contacts.relay, REJECT) if trial.machine.level(line)]:
        raise Failed(f"high before a reset: {high}")
    pulses = energise(trial, relay)

    # With the time that the rig takes to send the signal.
    killed = time.monotonic()
    trial.must("systemctl kill --signal=KILL andon")
    trial.wait("the relay drops out after SIGKILL", lambda: not relay.energised, 60, 0.02)
    off = relay.seen[-1][0] - killed
    trial.wait_state("interlocked", "locked_out")
    return (
        f"{len(OUTPUTS)} outputs pulled down, {len(INPUTS)} inputs pulled up; relay on by the button, {pulses} edges of the "
        f"heartbeat in 3 s; SIGKILL: off within {off:.1f} s"
    )


def written_pads(log: str) -> dict[int, int]:
    """What was written last to each register of the pin controller, by QEMU's log of what it does not have."""
    writes = re.finditer(r"iomuxc: unimplemented device write \(size 4, offset (0x\w+), value (0x\w+)\)", log)
    return {int(write[1], 16): int(write[2], 16) for write in writes}


def judged(pads: dict[int, int], functions: dict[str, tuple[int, int]], *, up: bool) -> list[tuple[str, str]]:
    """What is wrong with each function's pad: nothing, mostly."""
    found = []
    for name, (mux, control) in functions.items():
        if pads.get(mux, -1) & 7 != ALT5 or control not in pads:
            told = "is no GPIO"
        elif not pads[control] & PULL_ENABLED or bool(pads[control] & PULL_UP) != up:
            told = f"is not pulled {'up' if up else 'down'} ({pads[control]:#x})"
        else:
            told = ""
        found.append((name, told))
    return found
