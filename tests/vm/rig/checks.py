"""What the appliance in the machine must do. Every check leaves the machine as the next one wants it: with the service
running and the run permission ON, up to the last ones."""

from __future__ import annotations

import argparse
import threading
import time

from . import appliance, image, picture
from .machine import Machine
from .places import RigError
from .trial import PULSE, RELAY, Failed, Trial

CONFIG = "/etc/andon"


def check_all(asked: argparse.Namespace, made: image.Image, packed: bytes) -> int:
    """Starts a machine and checks it; gives the exit status."""
    asked.out.mkdir(parents=True, exist_ok=True)
    for old in asked.out.glob("*"):
        if old.is_file():
            old.unlink()
    started = time.monotonic()
    with Machine(made, packed, asked.out, size=asked.size) as machine:
        trial = Trial(machine, asked.out, asked.cameras, asked.display)
        try:
            if trial.check("the machine starts", starts):
                run_checks(trial, asked.only)
        finally:
            keep_evidence(trial)
    return report(trial, time.monotonic() - started)


def run_checks(trial: Trial, only: str | None) -> None:
    """Runs the checks in order; where the service does not get READY, nothing after it means anything."""
    if not trial.check("the service gets ready", ready):
        return
    for name, function in CHECKS:
        if only and only not in name:
            continue
        if function in NEED_ON and not trial.level(RELAY):
            try:
                trial.reset_to_on()
            except (Failed, RigError) as error:
                reason = str(error)
                trial.check(name, lambda _: fail(f"cannot begin: {reason}"))
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


# ---- Start -----------------------------------------------------------------------------------------------------------


def starts(trial: Trial) -> str:
    if not trial.machine.wait_guest(300):
        raise Failed(f"the guest does not answer; {trial.out}/serial.log has what it said")
    kernel = trial.must("uname -r").strip()
    return f"Linux {kernel}, answering after {trial.clock():.1f} s of its own time"


def ready(trial: Trial) -> str:
    try:
        trial.wait("READY", lambda: trial.service("ActiveState")["ActiveState"] == "active", 300)
    except Failed as error:
        raise Failed(f"{error}; {trial.log()}") from None
    told = trial.service("ActiveEnterTimestampMonotonic", "NRestarts")
    user = trial.must("ps -o user= -C andon").split()
    if user != ["andon"]:
        raise Failed(f"the program runs as {user}")
    seconds = int(told["ActiveEnterTimestampMonotonic"]) / 1e6
    return f"as user andon, {seconds:.1f} s after the kernel's start, {told['NRestarts']} restarts"


def off_after_power_up(trial: Trial) -> str:
    state = trial.wait_state("interlocked", seconds=120)
    raised = [edge for edge in trial.edges(RELAY) if edge.high]
    if trial.level(RELAY) or raised:
        raise Failed(f"the relay was energised without a reset: {raised}")
    time.sleep(2)
    if trial.level(RELAY):
        raise Failed("the relay was energised without a reset")
    return f"{state}, relay never energised"


def reset_gives_on(trial: Trial) -> str:
    trial.reset_to_on()
    if (state := trial.state()) != "on":
        raise Failed(f"the relay is energised, but the state is {state}")
    edge = [edge for edge in trial.edges(RELAY) if edge.high][-1]
    if not any(event["type"] == "reset" for event in trial.events()):
        raise Failed("no reset in the event log")
    return f"relay energised at {edge.seconds:.3f} s of the kernel's record, state on, reset in the event log"


def heartbeat(trial: Trial) -> str:
    begin = trial.clock()
    time.sleep(5)
    edges = trial.edges(PULSE, begin)
    if len(edges) < 4 or any(one.high == next_.high for one, next_ in zip(edges, edges[1:])):
        raise Failed(f"no square wave: {len(edges)} edges in 5 s")
    longest = max(next_.seconds - one.seconds for one, next_ in zip(edges, edges[1:]))
    return f"{len(edges)} edges in 5 s, {longest * 1000:.0f} ms between two at most"


# ---- Pictures --------------------------------------------------------------------------------------------------------


def kiosk(trial: Trial) -> str:
    if trial.display != "kms":
        return f"skipped: --display {trial.display}"
    path = trial.machine.screenshot("kiosk")
    return picture.looks_like_the_kiosk(path)


def cameras(trial: Trial) -> str:
    if trial.cameras != "vivid":
        return f"skipped: --cameras {trial.cameras}"
    seen = trial.must("for d in /dev/video*; do v4l2-ctl -d $d --get-fmt-video 2>/dev/null | grep -E 'Width|Pixel'; done")
    return " ".join(seen.split())


# ---- Faults and what becomes of them -----------------------------------------------------------------------------------


def first_off(trial: Trial, since: float, bound: float, what: str) -> float:
    """Seconds from then until the relay dropped; more than the bound, or not at all, is a failure."""

    def dropped() -> list:
        return [edge for edge in trial.edges(RELAY, since) if not edge.high]

    edges = trial.wait(f"the relay drops after {what}", dropped, bound + 60)
    seconds = edges[0].seconds - since
    if seconds > bound:
        raise Failed(f"the relay dropped {seconds:.2f} s after {what}; the bound is {bound:.2f} s")
    return seconds


def unplugged_camera(trial: Trial) -> str:
    if trial.cameras != "vivid":
        return f"skipped: --cameras {trial.cameras}"
    driver = "/sys/bus/platform/drivers/vivid"
    since = trial.mark(f"echo vivid.0 >{driver}/unbind")
    bound = trial.max_age_seconds + 1
    seconds = first_off(trial, since, bound, "the camera was unplugged")
    trial.wait_state("locked_out", seconds=60)
    trial.must("sleep 2")
    trial.must(f"echo vivid.0 >{driver}/bind; udevadm settle -t 30")
    time.sleep(3)
    if trial.level(RELAY):
        raise Failed("the relay was energised again without a reset")
    trial.reset_to_on()
    return f"OFF after {seconds:.2f} s (bound {bound:.1f} s), locked out; plugged in again and reset: ON"


def edited_zone(trial: Trial) -> str:
    zone = '[[zone]]\nname = "door"\ncamera = "worker_safety"\npoints = [[0.1, 0.1], [0.3, 0.1], [0.2, 0.3]]\n'
    save = f"cat >{CONFIG}/new <<'EOF'\n%s\nEOF\nmv {CONFIG}/new {CONFIG}/keepout.toml"
    since = trial.mark(save % zone)
    bound = 3.0
    seconds = first_off(trial, since, bound, "the keepout file was saved")
    trial.wait("the change is in the event log", lambda: configured(trial, "applied"), 30)
    trial.reset_to_on()

    trial.mark(save % "[[zone]]\nname = ")
    trial.wait("the mistake is in the event log", lambda: configured(trial, "refused"), 30)
    trial.machine.screenshot("refused")
    if not trial.level(RELAY):
        raise Failed("a refused file took the run permission")
    trial.must(save % zone)
    trial.wait("the repair is in the event log", lambda: configured(trial, "in-force"), 30)
    return f"OFF {seconds:.2f} s after it was saved (bound {bound:.1f} s), ON by reset; a file with a mistake was refused"


def configured(trial: Trial, outcome: str) -> bool:
    """Whether the last change of the configuration ended so."""
    changes = [event for event in trial.events() if event["type"] == "configuration"]
    return bool(changes) and changes[-1]["outcome"] == outcome


def killed(trial: Trial) -> str:
    before = trial.service("NRestarts", "MainPID")
    since = trial.mark(f"kill -KILL {before['MainPID']}")
    seconds = first_off(trial, since, 10.0, "SIGKILL")
    trial.wait("the service is active again", lambda: restarted(trial, before), 180)
    trial.wait_state("interlocked", seconds=120)
    if any(edge.high for edge in trial.edges(RELAY, since)):
        raise Failed("the relay was energised after the restart without a reset")
    resets = trial.machine.count("RESET")
    if resets:
        raise Failed("the machine was restarted, too")
    trial.reset_to_on()
    return f"lines OFF after {seconds:.2f} s by the unit, restarted, interlocked until reset"


def restarted(trial: Trial, before: dict[str, str]) -> bool:
    now = trial.service("NRestarts", "ActiveState", "MainPID")
    return now["ActiveState"] == "active" and now["MainPID"] != before["MainPID"] and now["NRestarts"] > before["NRestarts"]


# ---- A relay outside the guest -----------------------------------------------------------------------------------------


class Relay(threading.Thread):
    """A relay with a mirror contact on the board's own lines, outside the guest: line 0 energises it, line 5 is its
    normally closed contact, high while it has dropped out. A welded one keeps its contact open."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(daemon=True)
        self.machine = machine
        self.welded = False
        self.ended = False
        self.pulses = 0
        self.seen: list[tuple[float, bool]] = []

    def run(self) -> None:
        energised = pulse = None
        while not self.ended and self.machine.running:
            levels = self.machine.lines()
            if (now := bool(levels & 1)) != energised:
                energised = now
                self.seen.append((time.monotonic(), now))
                if now or not self.welded:
                    self.machine.drive(5, not now)
            if (now := bool(levels & 4)) != pulse:
                pulse = now
                self.pulses += 1
            time.sleep(0.02)

    @property
    def energised(self) -> bool:
        return bool(self.seen) and self.seen[-1][1]


def outside(trial: Trial) -> str:
    machine = trial.machine
    text = appliance.configuration("outside", trial.cameras, trial.display)
    trial.must(f"cat >{CONFIG}/andon.toml <<'EOF'\n{text}\nEOF")
    relay = Relay(machine)
    relay.start()
    try:
        trial.must("systemctl restart andon", 300)
        trial.wait_state("interlocked", seconds=120)
        if machine.line(0):
            raise Failed("the relay outside is energised before a reset")

        def on() -> bool:
            if not relay.energised and trial.state() in ("interlocked", "locked_out"):
                machine.drive(4, True)
                time.sleep(0.3)
                machine.drive(4, False)
                time.sleep(1)
            return relay.energised

        trial.wait("the relay outside is energised after the button outside was pressed", on, 180)
        before = relay.pulses
        time.sleep(3)
        if relay.pulses <= before:
            raise Failed("no heartbeat is seen from outside")
        pulses = relay.pulses - before

        relay.welded = True
        trial.must(f"touch {CONFIG}/keepout.toml; echo '# edited' >>{CONFIG}/keepout.toml; systemctl kill -s TERM andon")
        trial.wait("the relay outside drops out when the service is stopped", lambda: not relay.energised, 60)
        trial.wait("locked out by the welded contact", lambda: trial.state() == "locked_out", 180)
        cause = trial.states()[-1].get("cause")
    finally:
        relay.ended = True
        relay.join()
        machine.drive(5, False)
    return f"relay, button and {pulses} edges of the heartbeat in 3 s seen from outside; welded contact: locked out ({cause})"


# ---- The end: the watchdog ---------------------------------------------------------------------------------------------


def watchdog(trial: Trial) -> str:
    machine = trial.machine
    bites, resets = machine.count("WATCHDOG"), machine.count("RESET")
    known = len(trial.events())
    pid = trial.service("MainPID")["MainPID"]
    trial.must(f"kill -STOP {pid}")
    stopped = time.monotonic()
    if machine.wait_event("WATCHDOG", bites, trial.watchdog_seconds * 3) is None:
        raise Failed(f"the watchdog did not bite within {trial.watchdog_seconds * 3:.0f} s of SIGSTOP")
    seconds = time.monotonic() - stopped
    if machine.wait_event("RESET", resets, 30) is None:
        raise Failed("the watchdog bit, but the machine was not reset")
    if not machine.wait_guest(400):
        raise Failed("the machine does not come up again")
    trial.wait("READY after the reset", lambda: trial.service("ActiveState")["ActiveState"] == "active", 300)
    trial.wait_state("interlocked", seconds=120)
    if trial.level(RELAY):
        raise Failed("the relay is energised after the reset")
    events = trial.events()
    if len(events) <= known:
        raise Failed("the event log did not survive the reset")
    return f"bit {seconds:.1f} s after SIGSTOP (timeout {trial.watchdog_seconds:.0f} s); up again, interlocked, event log kept"


CHECKS = [
    ("after power-up the run permission is OFF", off_after_power_up),
    ("the kiosk is on the monitor", kiosk),
    ("both cameras are live", cameras),
    ("reset gives the run permission", reset_gives_on),
    ("the heartbeat beats", heartbeat),
    ("an unplugged camera", unplugged_camera),
    ("a keepout file edited on the device", edited_zone),
    ("SIGKILL", killed),
    ("relay and button outside the machine", outside),
    ("SIGSTOP and the hardware watchdog", watchdog),
]

NEED_ON = {heartbeat, unplugged_camera, edited_zone, killed}

