"""A relay, its mirror contact and a button on the board's own lines, driven and read outside the guest."""

from __future__ import annotations

import threading
import time

from . import appliance
from .boards import Line
from .machine import Machine
from .places import RigError
from .trial import Failed, Trial


class Relay(threading.Thread):
    """What is wired to the board's lines: a relay with a mirror contact that is closed while it has dropped out, something
    that counts the heartbeat's edges, and a button. A welded relay keeps its contact open."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(daemon=True)
        self.machine = machine
        self.contacts = machine.board.contacts
        self.welded = False
        self.ended = False
        self.pulses = 0
        self.seen: list[tuple[float, bool]] = []

    def run(self) -> None:
        machine, contacts = self.machine, self.contacts
        energised = pulse = resets = None
        while not self.ended and machine.running:
            try:
                # A chip that was reset has forgotten what its lines were pulled to.
                if (now := machine.count("RESET")) != resets:
                    resets, energised = now, None
                    self._contact(contacts.reset, closed=False)
                if (now := machine.level(contacts.relay)) != energised:
                    energised = now
                    self.seen.append((time.monotonic(), now))
                    if now or not self.welded:
                        self._contact(contacts.edm, closed=not now)
                if (now := machine.level(contacts.pulse)) != pulse:
                    pulse = now
                    self.pulses += 1
            except (RigError, OSError):
                # Switched off in between, or too busy to answer: then it is asked again.
                resets = None
            time.sleep(0.02)

    def _contact(self, line: Line, *, closed: bool) -> None:
        self.machine.drive(line, closed == self.contacts.closed)

    @property
    def energised(self) -> bool:
        return bool(self.seen) and self.seen[-1][1]

    def press(self) -> None:
        """Presses the button for a moment."""
        self._contact(self.contacts.reset, closed=True)
        time.sleep(0.3)
        self._contact(self.contacts.reset, closed=False)

    def end(self) -> None:
        """The relay listens no more; its contact stays as it is."""
        self.ended = True
        self.join()


def energise(trial: Trial, relay: Relay) -> int:
    """Presses the button until the relay is energised, and gives the heartbeat's edges in three seconds from then on."""

    def on() -> bool:
        if not relay.energised and trial.state() in ("interlocked", "locked_out"):
            relay.press()
            time.sleep(1)
        return relay.energised

    trial.wait("the relay outside is energised after the button outside was pressed", on, 400)
    before = relay.pulses
    time.sleep(3)
    if relay.pulses <= before:
        raise Failed("no heartbeat is seen from outside")
    return relay.pulses - before


def outside(trial: Trial) -> str:
    machine = trial.machine
    text = appliance.configuration("outside", trial.cameras, trial.display)
    trial.write("andon.toml", text)
    relay = Relay(machine)
    relay.start()
    try:
        trial.must("systemctl restart andon", 300)
        trial.wait_state("interlocked", "locked_out")
        if machine.level(relay.contacts.relay):
            raise Failed("the relay outside is energised before a reset")
        pulses = energise(trial, relay)

        relay.welded = True
        trial.must(f"touch {trial.CONFIG}/keepout.toml; echo '# edited' >>{trial.CONFIG}/keepout.toml; systemctl kill -s TERM andon")
        trial.wait("the relay outside drops out when the service is stopped", lambda: not relay.energised, 60)
        trial.wait("locked out by the welded contact", lambda: trial.state() == "locked_out", 400)
        cause = trial.states()[-1].get("cause")
    finally:
        relay.end()
        machine.drive(relay.contacts.edm, False)
    return f"relay, button and {pulses} edges of the heartbeat in 3 s seen from outside; welded contact: locked out ({cause})"
