"""A relay, its mirror contact and a button on the board's own lines, driven and read outside the guest."""

from __future__ import annotations

import threading
import time

from . import appliance
from .machine import Machine
from .trial import Failed, Trial


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
    trial.write("andon.toml", text)
    relay = Relay(machine)
    relay.start()
    try:
        trial.must("systemctl restart andon", 300)
        trial.wait_state("interlocked", "locked_out")
        if machine.line(0):
            raise Failed("the relay outside is energised before a reset")

        def on() -> bool:
            if not relay.energised and trial.state() in ("interlocked", "locked_out"):
                machine.drive(4, True)
                time.sleep(0.3)
                machine.drive(4, False)
                time.sleep(1)
            return relay.energised

        trial.wait("the relay outside is energised after the button outside was pressed", on, 400)
        before = relay.pulses
        time.sleep(3)
        if relay.pulses <= before:
            raise Failed("no heartbeat is seen from outside")
        pulses = relay.pulses - before

        relay.welded = True
        trial.must(f"touch {trial.CONFIG}/keepout.toml; echo '# edited' >>{trial.CONFIG}/keepout.toml; systemctl kill -s TERM andon")
        trial.wait("the relay outside drops out when the service is stopped", lambda: not relay.energised, 60)
        trial.wait("locked out by the welded contact", lambda: trial.state() == "locked_out", 400)
        cause = trial.states()[-1].get("cause")
    finally:
        relay.ended = True
        relay.join()
        machine.drive(5, False)
    return f"relay, button and {pulses} edges of the heartbeat in 3 s seen from outside; welded contact: locked out ({cause})"
