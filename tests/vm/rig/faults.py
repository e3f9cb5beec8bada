"""Changes of the configuration, and a program that dies or hangs."""

from __future__ import annotations

import time

from . import appliance, start
from .trial import RELAY, Failed, Trial


def edited_zone(trial: Trial) -> str:
    zone = '[[zone]]\nname = "door"\ncamera = "worker_safety"\npoints = [[0.1, 0.1], [0.3, 0.1], [0.2, 0.3]]\n'
    folder = trial.CONFIG
    save = f"cat >{folder}/new <<'EOF'\n%s\nEOF\nmv {folder}/new {folder}/keepout.toml"
    since = trial.mark(save % zone)
    bound = 5.0
    seconds = trial.first_off(since, bound, "the keepout file was saved")
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
    seconds = trial.first_off(since, 30.0, "SIGKILL")
    trial.wait("the service is active again", lambda: restarted(trial, before), 400)
    trial.wait_state("interlocked", "locked_out")
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


def watchdog(trial: Trial) -> str:
    machine = trial.machine
    text = appliance.configuration("inside", trial.cameras, trial.display, watchdog=trial.watchdog_seconds)
    trial.write("andon.toml", text)
    start.restart(trial)
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
    if not machine.wait_guest(600):
        raise Failed("the machine does not come up again")
    trial.wait("READY after the reset", lambda: trial.service("ActiveState")["ActiveState"] == "active", 600)
    trial.wait_state("interlocked", "locked_out")
    if trial.level(RELAY):
        raise Failed("the relay is energised after the reset")
    events = trial.events()
    if len(events) <= known:
        raise Failed("the event log did not survive the reset")
    return f"bit {seconds:.1f} s after SIGSTOP (timeout {trial.watchdog_seconds:.0f} s); up again, interlocked, event log kept"
