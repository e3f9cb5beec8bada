"""A Coral accelerator on the machine's USB: a program of the host that QEMU shows to the guest as a device.

What it is (`tests/tpu-sim`): a judge that knows the protocol and computes what the models say, behind QEMU's `usb-redir`.
In the guest everything is real: controller driver, usbfs, udev, permissions, the service's sandbox, Andon's driver.
"""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

from . import appliance, cameras, start
from .cpio import Archive
from .places import TREE, RigError, run
from .trial import RELAY, Failed, Trial

SIMULATOR = TREE / "target/debug/andon-tpu-sim"
MODELS = {"detector_coco_ssd_300_int8": "coco_labels.txt", "classifier_apple_224_int8": "apple_labels.txt"}
# Any bytes are firmware to the simulated device; it looks at how they come and are read back.
FIRMWARE = bytes(range(251)) * 40
PLACE = "usr/share/andon/compiled"


def compiled(folder: Path) -> list[Path]:
    """The shipped models as a compiler would have made them for one chip together; made now, or as they were left."""
    models = [folder / f"{name}_edgetpu.tflite" for name in MODELS]
    run(["cargo", "build", "--quiet", "--locked", "-p", "andon-tpu-sim", "--features", "twin"], cwd=TREE)
    folder.mkdir(parents=True, exist_ok=True)
    for model, name in zip(models, MODELS):
        source = TREE / "models" / f"{name}.tflite"
        run([SIMULATOR, "pack", source, model, "--token", "a11ce"], stdout=subprocess.DEVNULL)
    return models


def install(packed: Archive, models: list[Path]) -> None:
    """Puts models, labels and firmware into what the machine starts from."""
    for model, (name, labels) in zip(models, MODELS.items()):
        packed.file(f"appliance/{PLACE}/{model.name}", model.read_bytes())
        packed.file(f"appliance/{PLACE}/{name}_labels.txt", (TREE / "models" / labels).read_bytes())
    packed.file("appliance/usr/lib/firmware/google/apex_latest_single_ep.bin", FIRMWARE)


def engine() -> dict[str, str]:
    """What andon.toml says to use it."""
    detector, classifier = (f"/{PLACE}/{name}_edgetpu.tflite" for name in MODELS)
    return {"ENGINE": "edgetpu:usb", "DETECTOR": detector, "CLASSIFIER": classifier}


class Stick:
    """The accelerator, plugged in as long as the `with` statement lasts."""

    def __init__(self, trial: Trial, number: int) -> None:
        self.trial = trial
        self.name = f"tpu{number}"
        self.socket = trial.machine.folder / self.name
        self.log = trial.out / f"{self.name}.txt"
        self.verdict = ""

    def __enter__(self) -> "Stick":
        models = [word for model in self.trial.models for word in ("--model", str(model))]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(SIMULATOR), "serve", str(self.socket), *models], stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + 60
        while not self.socket.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RigError(f"the simulated accelerator does not start: {self.log.read_text()}")
            time.sleep(0.1)
        address = {"type": "unix", "data": {"path": str(self.socket)}}
        backend = {"type": "socket", "data": {"addr": address, "server": False}}
        self.trial.machine.qmp("chardev-add", id=self.name, backend=backend)
        self.trial.machine.qmp("device_add", driver="usb-redir", id=self.name, chardev=self.name)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def pull(self) -> None:
        """Pulls the plug; the simulated device then says what it thinks of the driver."""
        # QEMU then removes the character device as well, and with it the connection.
        self.trial.machine.qmp("device_del", id=self.name)
        try:
            status = self._process.wait(60)
        except subprocess.TimeoutExpired:
            raise Failed("the simulated accelerator does not end after it was pulled") from None
        self.verdict = self.log.read_text().strip().rpartition("\n")[2]
        if status != 0:
            raise Failed(f"the simulated accelerator complains: {self.log.read_text()[-400:]}")


def reset_is_due(trial: Trial) -> bool:
    """Whether the last frame of the guarding camera was judged."""
    last = trial.must(f"grep '\"type\":\"safety\"' {trial.REPORT} | tail -n 1")
    return bool(last.strip()) and "failure" not in json.loads(last)


def accelerator(trial: Trial) -> str:
    """The whole program on an accelerator: start, judging, the plug pulled and put back."""
    with Stick(trial, 1) as stick:
        trial.write("andon.toml", appliance.configuration("inside", trial.cameras, trial.display, engine=engine()))
        start.restart(trial)
        used = trial.header()["engine"]
        if "Edge TPU" not in used:
            raise Failed(f"the engine is {used}")
        cameras.wait_judged(trial, 3)
        trial.reset_to_on()
        since = trial.clock()
        stick.pull()
        bound = trial.max_age_seconds + 1
        seconds = trial.first_off(since, bound, "the accelerator was pulled out")
        trial.wait_state("locked_out")
        time.sleep(2)
        if trial.level(RELAY):
            raise Failed("the relay is energised without an accelerator")
    with Stick(trial, 2) as stick:
        trial.wait("judging again: interlocked", lambda: reset_is_due(trial), 300)
        if trial.level(RELAY):
            raise Failed("the relay was energised again without a reset")
        trial.reset_to_on()
        happened = [event["message"] for event in trial.events() if event["type"] == "accelerator"]
        stick.pull()
    trial.write("andon.toml", appliance.configuration("inside", trial.cameras, trial.display))
    start.restart(trial)
    return (
        f"{used}; pulled out: OFF after {seconds:.2f} s (bound {bound:.1f} s), locked out; put back: firmware again, "
        f"judging again, ON by reset; {stick.verdict}; {len(happened)} events, the last: {happened[-1] if happened else 'none'}"
    )
