"""The machine and the service come up, and the run permission comes by a reset only."""

from __future__ import annotations

import time

from .trial import PULSE, RELAY, Failed, Trial


def starts(trial: Trial) -> str:
    if not trial.machine.wait_guest(600):
        raise Failed(f"the guest does not answer; {trial.out}/serial.log has what it said")
    kernel = trial.must("uname -r").strip()
    return f"Linux {kernel}, answering after {trial.clock():.1f} s of its own time"


def ready(trial: Trial) -> str:
    try:
        trial.wait("READY", lambda: trial.service("ActiveState")["ActiveState"] == "active", 600)
    except Failed as error:
        raise Failed(f"{error}; {trial.log()}") from None
    told = trial.service("ActiveEnterTimestampMonotonic", "NRestarts")
    user = trial.must("ps -o user= -C andon").split()
    if user != ["andon"]:
        raise Failed(f"the program runs as {user}")
    seconds = int(told["ActiveEnterTimestampMonotonic"]) / 1e6
    return f"as user andon, {seconds:.1f} s after the kernel's start, {told['NRestarts']} restarts"


def off_after_power_up(trial: Trial) -> str:
    state = trial.wait_state("interlocked", "locked_out")
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


def restart(trial: Trial) -> None:
    """Starts the service, or starts it again, and waits until it is ready and interlocked."""
    try:
        trial.must("systemctl restart andon", 300)
    except Failed as error:
        raise Failed(f"{error}; {trial.log()}") from None
    trial.wait_state("interlocked", "locked_out")
