"""A machine under test: what its appliance does, seen from outside the program, and the list of results."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .machine import Machine
from .places import RigError

# Offsets on the guest's simulated chip (guest/usr/lib/rig/board).
RELAY, LAMP, PUSHER, STACK_LIGHT, PULSE, RESET_BUTTON = range(6)

BANK = "/sys/devices/platform/gpio-sim.0/gpiochip*"
EVENTS = "andon events --directory /var/lib/andon/events --json"


class Failed(Exception):
    """A check that did not hold, and what was seen instead."""


@dataclass(frozen=True)
class Edge:
    """A level that somebody set on a line, as the kernel recorded it."""

    seconds: float
    line: int
    high: bool


@dataclass(frozen=True)
class Line:
    """A line of the journal."""

    seconds: float
    text: str


@dataclass
class Result:
    """How a check ended."""

    name: str
    good: bool
    evidence: str
    seconds: float


@dataclass
class Trial:
    """A machine, the settings that the checks go by, and what they found."""

    REPORT = "/run/andon/report.jsonl"
    CONFIG = "/etc/andon"

    machine: Machine
    out: Path
    cameras: str
    display: str
    size: str
    # The shipped models as compiled for the simulated accelerator, on this machine.
    models: list[Path]
    # Of site/andon.toml, and of the check of the watchdog.
    max_age_seconds: float = 10.0
    watchdog_seconds: int = 60
    results: list[Result] = field(default_factory=list)

    # ---- Results -----------------------------------------------------------------------------------------------------

    def check(self, name: str, function: Callable[["Trial"], str]) -> bool:
        """Runs a check and prints how it ended."""
        started = time.monotonic()
        try:
            evidence, good = function(self), True
        except (Failed, RigError) as error:
            evidence, good = str(error), False
        result = Result(name, good, evidence, time.monotonic() - started)
        self.results.append(result)
        print(f"{'ok  ' if good else 'FAIL'} {name}: {evidence} ({result.seconds:.0f} s)", flush=True)
        return good

    # ---- The guest ---------------------------------------------------------------------------------------------------

    def must(self, script: str, seconds: float = 60) -> str:
        """Output of a script in the guest that must succeed."""
        answer = self.machine.guest(script, seconds)
        if not answer.good:
            raise Failed(f"`{script}` ended with status {answer.status}: {answer.text.strip()[-300:]}")
        return answer.text

    def wait(self, what: str, condition: Callable[[], object], seconds: float, pause: float = 2) -> object:
        """Waits until something is so, and gives it; else the check has failed."""
        deadline = time.monotonic() + seconds
        while True:
            found = condition()
            if found:
                return found
            if time.monotonic() > deadline or not self.machine.running:
                raise Failed(f"not within {seconds:.0f} s: {what}")
            time.sleep(pause)

    def clock(self) -> float:
        """The guest's CLOCK_MONOTONIC in seconds (it counts no sleep, so it is the uptime)."""
        return float(self.must("cut -d' ' -f1 /proc/uptime"))

    def service(self, *properties: str) -> dict[str, str]:
        """Properties of the service, as systemd has them."""
        names = "".join(f" -p {name}" for name in properties)
        return dict(line.split("=", 1) for line in self.must(f"systemctl show andon{names}").splitlines())

    def report_lines(self, kind: str) -> list[dict]:
        """Lines of a kind in the current run's report, oldest first."""
        text = self.machine.guest(f"grep '\"type\":\"{kind}\"' {self.REPORT}").text
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def header(self) -> dict:
        """The first line of the current run's report."""
        lines = self.report_lines("header")
        if not lines:
            raise Failed("the report has no header")
        return lines[0]

    def states(self) -> list[dict]:
        """The state lines of the current run's report, oldest first."""
        return self.report_lines("state")

    def state(self) -> str:
        """The state of the run permission, by the report."""
        states = self.states()
        return states[-1]["state"] if states else "none yet"

    def events(self) -> list[dict]:
        """The event log, of all runs."""
        text = self.machine.guest(EVENTS).text
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def count_events(self, kind: str) -> int:
        """How many events of a kind the log has."""
        return sum(1 for event in self.events() if event["type"] == kind)

    def write(self, name: str, text: str) -> None:
        """Replaces a file of the configuration, as an editor does."""
        path = f"{self.CONFIG}/{name}"
        self.must(f"cat >{path}.new <<'EOF'\n{text}\nEOF\nmv {path}.new {path}")

    def log_lines(self) -> list[Line]:
        """The service's log, with times of CLOCK_MONOTONIC."""
        text = self.machine.guest("journalctl --unit andon --no-pager --output short-monotonic").text
        found = re.findall(r"^\[ *([0-9.]+)\] \S+ (.*)$", text, re.MULTILINE)
        return [Line(float(seconds), words) for seconds, words in found]

    def log(self, lines: int = 15) -> str:
        """The end of the service's log, for evidence of a failure."""
        return self.machine.guest(f"journalctl --unit andon --lines {lines} --no-pager --output cat").text.strip()

    # ---- Lines inside the guest --------------------------------------------------------------------------------------

    def level(self, line: int) -> bool:
        """Level of a line of the simulated chip: what a relay's coil would have."""
        return self.must(f"cat {BANK}/sim_gpio{line}/value").strip() == "1"

    def pull(self, line: int, high: bool) -> None:
        """Puts a level on a line of the simulated chip, as a contact would."""
        self.must(f"echo pull-{'up' if high else 'down'} >$(echo {BANK}/sim_gpio{line}/pull)")

    def press_reset(self) -> None:
        """Presses the reset button as a person does, for a third of a second."""
        path = f"$(echo {BANK}/sim_gpio{RESET_BUTTON}/pull)"
        self.must(f"echo pull-up >{path}; sleep 0.3; echo pull-down >{path}")

    def mark(self, script: str) -> float:
        """Runs a script with a mark before it in the kernel's record; gives the mark's time."""
        name = f"rig-{time.monotonic_ns()}"
        self.must(f"echo {name} >/sys/kernel/tracing/trace_marker; {script}")
        found = re.search(rf"([0-9.]+): tracing_mark_write: {name}", self.trace())
        if found is None:
            raise Failed("the kernel's record has no mark")
        return float(found[1])

    def trace(self) -> str:
        """The kernel's record of levels that were set, with times of CLOCK_MONOTONIC."""
        return self.must("cat /sys/kernel/tracing/trace")

    def edges(self, line: int, since: float = 0.0) -> list[Edge]:
        """What was set on a line of the simulated chip since then."""
        base = self.line_base()
        found = []
        for seconds, number, value in re.findall(r"([0-9.]+): gpio_value: (\d+) set (\d)", self.trace()):
            if int(number) == base + line and float(seconds) >= since:
                found.append(Edge(float(seconds), line, value == "1"))
        return found

    def first_off(self, since: float, bound: float, what: str) -> float:
        """Seconds from then until the relay dropped; more than the bound, or not at all, is a failure."""

        def dropped() -> list[Edge]:
            return [edge for edge in self.edges(RELAY, since) if not edge.high]

        seconds = self.wait(f"the relay drops after {what}", dropped, bound + 60)[0].seconds - since
        if seconds > bound:
            raise Failed(f"the relay dropped {seconds:.2f} s after {what}; the bound is {bound:.2f} s")
        return seconds

    def line_base(self) -> int:
        """The number that the kernel's record gives to the simulated chip's first line."""
        return int(self.must("cat $(dirname $(grep -l rig-board /sys/class/gpio/gpiochip*/label))/base"))

    # ---- The way to ON -----------------------------------------------------------------------------------------------

    def wait_state(self, *wanted: str, seconds: float = 300) -> str:
        """Waits until the run permission is in one of these states."""
        try:
            return self.wait("", lambda: self.state() in wanted and self.state(), seconds)
        except Failed:
            raise Failed(f"not within {seconds:.0f} s {' or '.join(wanted)}, but {self.state()}; {self.log(5)}") from None

    def reset_to_on(self, seconds: float = 300) -> None:
        """Presses reset until the run permission is ON: a reset before the zone is clear for long enough is refused,
        and one that leaves a lock-out has to be followed by another."""

        def on() -> bool:
            if self.level(RELAY):
                return True
            if self.state() in ("interlocked", "locked_out"):
                self.press_reset()
            return False

        self.wait("the relay on RELAY1 is energised after reset was pressed", on, seconds, 3)
