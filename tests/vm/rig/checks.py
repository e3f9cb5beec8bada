"""What the appliance in the machine must do, in order. Every check leaves the machine as the next one wants it: with the
service running, and where it is in NEED_ON, with the run permission ON."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from . import cameras, display, faults, image, outside, start, tpu
from .machine import Machine
from .places import RigError
from .trial import RELAY, Failed, Trial

CHECKS = [
    ("after power-up the run permission is OFF", start.off_after_power_up),
    ("the kiosk is on the monitor", display.kiosk),
    ("both cameras are live", cameras.live),
    ("keyboard and touch", display.operated),
    ("reset gives the run permission", start.reset_gives_on),
    ("the heartbeat beats", start.heartbeat),
    ("a keepout file edited on the device", faults.edited_zone),
    ("a camera that breaks", cameras.broken),
    ("an unplugged camera", cameras.unplugged),
    ("the monitor's cable", display.cable),
    ("SIGKILL", faults.killed),
    ("a stop in order, and what was counted", cameras.counted),
    ("relay and button outside the machine", outside.outside),
    ("a Coral accelerator on USB", tpu.accelerator),
    ("SIGSTOP and the hardware watchdog", faults.watchdog),
    ("other formats and sizes", cameras.formats),
]

NEED_ON = {start.heartbeat, display.cable, cameras.broken, cameras.unplugged, faults.edited_zone, faults.killed}


def check_all(asked: argparse.Namespace, made: image.Image, packed: bytes, models: list[Path]) -> int:
    """Starts a machine and checks it; gives the exit status."""
    asked.out.mkdir(parents=True, exist_ok=True)
    for old in asked.out.glob("*"):
        if old.is_file():
            old.unlink()
    started = time.monotonic()
    with Machine(made, packed, asked.out, size=asked.size) as machine:
        trial = Trial(machine, asked.out, asked.cameras, asked.display, asked.size, models)
        try:
            if trial.check("the machine starts", start.starts):
                run_checks(trial, asked.only)
        finally:
            keep_evidence(trial)
    return report(trial, time.monotonic() - started)


def run_checks(trial: Trial, only: str | None) -> None:
    """Runs the checks; where the service does not get READY, nothing after it means anything."""
    if not trial.check("the service gets ready", start.ready):
        return
    asked = [check for check in CHECKS if only in check[0]] if only else CHECKS
    for name, function in asked:
        if function in NEED_ON and not trial.level(RELAY):
            try:
                trial.reset_to_on()
            except (Failed, RigError) as error:
                reason = f"cannot begin: {error}"
                trial.check(name, lambda _, reason=reason: fail(reason))
                continue
        trial.check(name, function)


def fail(text: str) -> str:
    raise Failed(text)


def keep_evidence(trial: Trial) -> None:
    """Copies what the machine wrote about itself into the folder of results."""
    machine = trial.machine
    if not machine.running or not machine.wait_guest(30):
        return
    for name, script in {
        "journal.txt": "journalctl --no-pager --output short-monotonic",
        "report.jsonl": "cat /run/andon/report.jsonl",
        "events.jsonl": "andon events --directory /var/lib/andon/events --json",
        "lines.txt": "cat /sys/kernel/tracing/trace; cat /sys/kernel/debug/gpio",
    }.items():
        (trial.out / name).write_text(machine.guest(script, 60).text)


def report(trial: Trial, seconds: float) -> int:
    """Writes the list of results; gives the exit status."""
    bad = [result for result in trial.results if not result.good]
    lines = [f"{'ok  ' if one.good else 'FAIL'} {one.name}: {one.evidence} ({one.seconds:.0f} s)" for one in trial.results]
    last = f"{len(trial.results) - len(bad)} of {len(trial.results)} checks good, {seconds:.0f} s"
    (trial.out / "checks.txt").write_text("\n".join([*lines, last]) + "\n")
    print(f"{last}; what was seen is in {trial.out}", flush=True)
    return 1 if bad or len(trial.results) < 2 else 0
