"""The cameras: live without copies, broken, unplugged, in other formats."""

from __future__ import annotations

import time

from . import appliance, display, start
from .trial import RELAY, Failed, Trial

DRIVER = "/sys/bus/platform/drivers/vivid"
STREAMS = ("worker_safety", "visual_inspection")

# Pairs of what is asked of the two cameras, and whether the driver is to speak the multi-planar interface. Every
# arrangement of pixels that the program knows is in it, but for JPEG, which vivid does not have.
ASKED = [
    (("YUYV", "640x360"), ("YU12", "320x180"), 1),
    (("UYVY", "320x180"), ("XR24", "640x480"), 1),
    (("NM12", "320x180"), ("RGB3", "320x180"), 2),
]
# Three bytes to a pixel are no texture for anybody: such frames are copied, and only these.
COPIED = {"RGB3"}


def needs_vivid(function):
    """A check that says so where the cameras are not vivid's."""

    def checked(trial: Trial) -> str:
        return function(trial) if trial.cameras == "vivid" else f"skipped: --cameras {trial.cameras}"

    return checked


def judged(trial: Trial) -> list[int]:
    """Frames of the two streams that the report has so far."""
    kinds = ("safety", "inspection")
    counts = " ".join(f"$(grep -c '\"type\":\"{kind}\"' {trial.REPORT})" for kind in kinds)
    return [int(word) for word in trial.must(f"echo {counts}").split()]


def wait_judged(trial: Trial, frames: int, seconds: float = 400) -> list[int]:
    """Waits for so many more frames of both."""
    before = judged(trial)

    def more() -> list[int] | None:
        now = judged(trial)
        return now if all(one - other >= frames for one, other in zip(now, before)) else None

    return trial.wait(f"{frames} more frames of each camera", more, seconds, 3)


@needs_vivid
def live(trial: Trial) -> str:
    wait_judged(trial, 5)
    first = judged(trial)
    inputs = trial.header()["inputs"]
    for entry in inputs:
        if "dmabuf" not in entry["description"]:
            raise Failed(f"{entry['stream']} shares no memory: {entry['description']}")
    return f"{'; '.join(entry['description'] for entry in inputs)}; {first} frames judged so far"


def control(trial: Trial, camera: int, name: str) -> None:
    """Sets one of vivid's controls, with which it breaks itself."""
    trial.must(f"v4l2-ctl -d {appliance.CAMERAS['vivid'][camera]} -c {name}=1")


def changes(trial: Trial, kind: str, stream: str) -> int:
    """How many such events of a camera the log has."""
    return sum(1 for event in trial.events() if event["type"] == kind and event["stream"] == stream)


@needs_vivid
def broken(trial: Trial) -> str:
    control(trial, 0, "inject_v4l2_buf_flag_error")
    wait_judged(trial, 2)
    if not trial.level(RELAY):
        raise Failed(f"one damaged frame took the run permission: {trial.states()[-1]}")
    told = []
    for camera, name in ((1, "inject_fatal_streaming_error"), (1, "disconnect")):
        stream = STREAMS[camera]
        lost, back = changes(trial, "camera-lost", stream), changes(trial, "camera-back", stream)
        control(trial, camera, name)
        trial.wait(f"{name}: camera-lost", lambda: changes(trial, "camera-lost", stream) > lost, 120)
        trial.wait(f"{name}: camera-back", lambda: changes(trial, "camera-back", stream) > back, 300)
        reason = [event for event in trial.events() if event["type"] == "camera-lost"][-1]["reason"]
        told.append(f"{name}: {reason}")
    wait_judged(trial, 2)
    if not trial.level(RELAY):
        raise Failed(f"the other camera's faults took the run permission: {trial.states()[-1]}")
    return f"a damaged frame is left out, the run permission stays; {'; '.join(told)}; each time it came back by itself"


@needs_vivid
def unplugged(trial: Trial) -> str:
    since = trial.mark(f"echo vivid.0 >{DRIVER}/unbind")
    bound = trial.max_age_seconds + 1
    seconds = trial.first_off(since, bound, "the cameras were unplugged")
    trial.wait_state("locked_out")
    trial.machine.screenshot("unplugged")
    back = changes(trial, "camera-back", STREAMS[0])
    trial.must(f"echo vivid.0 >{DRIVER}/bind")
    trial.wait("camera-back", lambda: changes(trial, "camera-back", STREAMS[0]) > back, 300)
    wait_judged(trial, 3)
    time.sleep(2)
    if trial.level(RELAY):
        raise Failed("the relay was energised again without a reset")
    trial.reset_to_on()
    return f"OFF after {seconds:.2f} s (bound {bound:.1f} s), locked out; plugged in again: OFF until reset, then ON"


@needs_vivid
def counted(trial: Trial) -> str:
    """What the program says of itself at its end: above all that no frame was copied."""
    # Whoever counted the damage before may have been killed meanwhile.
    control(trial, 0, "inject_v4l2_buf_flag_error")
    wait_judged(trial, 10)
    summary = stop(trial)
    streams = summary["streams"]
    imported, copied = summary["frames_imported"], summary["frames_copied"]
    if imported < 10 or copied:
        raise Failed(f"{imported} frames drawn from the camera's memory, {copied} copied")
    if streams["worker_safety"]["damaged"] < 1:
        raise Failed("the damaged frame was not counted")
    if trial.level(RELAY):
        raise Failed("the relay is energised without a program")
    start.restart(trial)
    frames = [streams[stream]["frames"] for stream in STREAMS]
    return (
        f"{frames} frames judged, {imported} drawn from the camera's memory, 0 copied; "
        f"damaged {streams['worker_safety']['damaged']}, interruptions {streams['visual_inspection']['interruptions']}; "
        f"{summary['peak_rss_mb']:.0f} MB at most; drawing {summary['render_ms']['p50']:.0f} ms, "
        f"inference {streams['worker_safety']['inference_ms']['p50']:.0f} ms in the middle"
    )


def stop(trial: Trial) -> dict:
    """Stops the service; gives the summary that its report ends with."""
    trial.must("systemctl stop andon", 120)
    told = trial.service("Result", "ExecMainStatus")
    if told["Result"] != "success":
        raise Failed(f"the service did not end well: {told}; {trial.log()}")
    last = trial.report_lines("summary")
    if not last:
        raise Failed("the report has no summary")
    return last[-1]


@needs_vivid
def formats(trial: Trial) -> str:
    seen, planes = [], 1
    for *pair, interface in ASKED:
        asked = tuple(f'size = "{size}"\nfps = 1\nformat = "{code}"' for code, size in pair)
        trial.must("systemctl stop andon", 120)
        if interface != planes:
            trial.must(f"modprobe -r vivid && modprobe vivid multiplanar={interface},{interface} && udevadm settle -t 60", 120)
            planes = interface
        trial.write("andon.toml", appliance.configuration("inside", trial.cameras, trial.display, asked))
        start.restart(trial)
        wait_judged(trial, 3)
        for entry, (code, size) in zip(trial.header()["inputs"], pair):
            if code not in entry["description"] or "x".join(map(str, entry["size"])) != size:
                raise Failed(f"{code} {size} was asked for, and {entry} came")
        codes = [code for code, _ in pair]
        if trial.display == "kms":
            display.wait_cards(trial, 2, f"formats-{'-'.join(codes)}".lower())
        summary = stop(trial)
        imported, copied = summary["frames_imported"], summary["frames_copied"]
        expected = any(code in COPIED for code in codes)
        if trial.display == "kms" and (imported == 0 or (copied > 0) != expected):
            raise Failed(f"{codes}: {imported} frames drawn from the camera's memory, {copied} copied")
        seen.append(f"{' '.join(codes)}: {imported} imported, {copied} copied")
    trial.must("modprobe -r vivid && modprobe vivid && udevadm settle -t 60", 120)
    trial.write("andon.toml", appliance.configuration("inside", trial.cameras, trial.display))
    start.restart(trial)
    return "; ".join(seen)
