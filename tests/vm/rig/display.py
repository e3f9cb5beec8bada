"""The picture on the monitor, seen from outside: QEMU's screenshots of what the card scans out."""

from __future__ import annotations

import time

from . import picture
from .monitor import Cable
from .places import RigError
from .trial import RELAY, Failed, Trial


def needs_monitor(function):
    """A check that says so where the program has no monitor."""

    def checked(trial: Trial) -> str:
        return function(trial) if trial.display == "kms" else f"skipped: --display {trial.display}"

    return checked


def wait_picture(trial: Trial, name: str, what: str, good, seconds: float = 300) -> picture.Picture:
    """Waits for a picture that is as wanted, and keeps it as `NAME.png`."""

    def looked() -> picture.Picture | None:
        try:
            seen = picture.read(trial.machine.screenshot(name))
        except RigError:
            return None  # no monitor, no picture
        return seen if good(seen) else None

    return trial.wait(f"{what} ({name}.png)", looked, seconds, 3)


def press_until(trial: Trial, press, name: str, what: str, good) -> picture.Picture:
    """Presses until the picture is as wanted, as a person does: a press at a picture that hangs is void, and emulated, the
    next one may be long in coming."""
    for _ in range(20):
        press()
        try:
            return wait_picture(trial, name, what, good, 15)
        except Failed as error:
            late = error
    raise late


def wait_cards(trial: Trial, count: int, name: str) -> picture.Picture:
    """Waits for the cameras' test cards, in their right colours, beside each other."""
    what = f"{count} camera pictures with colour bars"
    return wait_picture(trial, name, what, lambda seen: picture.test_cards(seen) >= count)


@needs_monitor
def kiosk(trial: Trial) -> str:
    if trial.cameras != "vivid":
        seen = wait_picture(trial, "kiosk", "a picture of many colours", lambda seen: picture.colours(seen) >= 32)
        return f"{seen.width}x{seen.height}, {picture.colours(seen)} colours sampled"
    seen = wait_cards(trial, 2, "kiosk")
    if f"{seen.width}x{seen.height}" != trial.size:
        raise Failed(f"the picture is {seen.width}x{seen.height}, the monitor {trial.size}")
    shown = [line for line in trial.log_lines() if "picture on " in line.text]
    first = shown[0] if shown else None
    told = f"first at {first.seconds:.1f} s of the kernel's time ({first.text.partition('picture on ')[2]})" if first else ""
    return f"{seen.width}x{seen.height} with the colour bars of both cameras, {told}"


@needs_monitor
def operated(trial: Trial) -> str:
    machine = trial.machine
    cards = 2 if trial.cameras == "vivid" else 0
    before = wait_cards(trial, cards, "page-cameras")
    home = picture.lit_tab(before)
    if home is None:
        raise Failed("no page's button has a line under it (page-cameras.png)")
    lit = {"f1": home}
    # From the right to the left: every page's button is left of the last one's and right of the cameras'.
    right = before.width
    for key, name in (("f5", "page-counters"), ("f4", "page-system"), ("f2", "page-inputs")):
        page = press_until(
            trial,
            lambda key=key: machine.key(key),
            name,
            f"the page of {key}, its button lit",
            lambda seen, right=right: home < (picture.lit_tab(seen) or 0) < right,
        )
        lit[key] = right = picture.lit_tab(page)
        if picture.difference(page, before) < 0.2:
            raise Failed(f"the page of {key} looks like the cameras' ({name}.png)")
    back = press_until(
        trial,
        lambda: machine.key("f1"),
        "page-back",
        "the cameras after f1",
        lambda seen: picture.difference(seen, before) < 0.1 and picture.lit_tab(seen) == home,
    )

    def larger(seen: picture.Picture) -> bool:
        return picture.difference(seen, back) > 0.2

    press_until(trial, lambda: machine.touch(0.25, 0.5), "enlarged", "one camera, enlarged by a touch", larger)
    press_until(
        trial,
        lambda: machine.touch(0.5, 0.5),
        "touched-back",
        "both cameras after another touch",
        lambda seen: not larger(seen),
    )
    places = ", ".join(f"{key} at {place}" for key, place in lit.items())
    return f"pages by key, their buttons lit ({places} px); a touch enlarges a camera, another puts it back"


@needs_monitor
def cable(trial: Trial) -> str:
    machine = trial.machine
    width, _, height = trial.size.partition("x")
    lost, back = trial.count_events("display-lost"), trial.count_events("display-back")
    since = trial.clock()
    with Cable(machine.monitor) as monitor:
        monitor.unplug()
        trial.wait("display-lost", lambda: trial.count_events("display-lost") > lost, 120)
        time.sleep(2)
        monitor.plug(1024, 768)
        trial.wait("display-back", lambda: trial.count_events("display-back") > back, 300)
        smaller = wait_cards(trial, 2 if trial.cameras == "vivid" else 0, "monitor-1024x768")
        if (smaller.width, smaller.height) != (1024, 768):
            raise Failed(f"a monitor of 1024x768 shows {smaller.width}x{smaller.height}")
        monitor.plug(int(width), int(height))
        wait_picture(trial, "monitor-back", "the first monitor's size", lambda seen: seen.width == int(width))
    off = [edge for edge in trial.edges(RELAY, since) if not edge.high]
    if off or not trial.level(RELAY):
        raise Failed("the display's loss took the run permission")
    events = [event for event in trial.events() if event["type"].startswith("display-")]
    reasons = "; ".join(event.get("reason") or event.get("on", "") for event in events)
    return f"unplugged, another size, the first again; the run permission stayed ON ({reasons})"
