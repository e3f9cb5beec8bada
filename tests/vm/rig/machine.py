"""A running virtual machine, and the ways into it from outside.

 * QMP: QEMU's own control socket: events, screenshots, reading the board's registers, unplugging devices.
 * qtest: levels of the interrupt and GPIO wires of emulated chips; so a button is pressed.
 * The serial line: what kernel and systemd say, kept in a file.
 * The agent: shell scripts, run by root in the guest, with their output (guest/usr/lib/rig/agent).
"""

from __future__ import annotations

import base64
import contextlib
import json
import queue
import re
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from .boards import VIRT, Board, Line
from .image import Image
from .places import RigError, run, tool


@dataclass(frozen=True)
class Answer:
    """What a script in the guest ended with."""

    status: int
    text: str

    @property
    def good(self) -> bool:
        return self.status == 0


class Machine:
    """QEMU with the appliance in it. Use it in a `with` statement."""

    def __init__(
        self,
        image: Image,
        appliance: bytes,
        out: Path,
        *,
        size: str = "1280x720",
        display: str = "none",
        console: bool = False,
        share: Path | None = None,
        qemu: list[str] | None = None,
        more: list[str] | None = None,
        boot: list | None = None,
        board: Board = VIRT,
    ) -> None:
        """Starts QEMU. `boot`: its options for what it starts from; without them kernel, RAM disk and disk of the image,
        and an empty disk for the appliance's data."""
        self.out = out
        self.board = board
        self.started = time.monotonic()
        out.mkdir(parents=True, exist_ok=True)
        # Socket names have at most 107 bytes, so they do not lie below the work tree.
        self._folder = Path(run(["mktemp", "-d", "-t", "andon-vm.XXXXXX"], capture_output=True).stdout.decode().strip())
        width, _, height = size.partition("x")
        if boot is None:
            boot = self._image(image, appliance, console)
        command = [
            *(qemu or image.qemu()),
            *(*board.options, "-accel", "tcg,thread=multi", "-nodefaults", "-display", display),
            *boot,
            *("-chardev", f"socket,id=agent,path={self._folder}/agent,server=on,wait=off"),
            *board.plugged(width, height, "agent"),
            *("-action", "watchdog=reset"),
            *("-qmp", f"unix:{self._folder}/qmp,server=on,wait=off"),
            *([] if display.startswith("vnc") else ("-vnc", f"unix:{self._folder}/vnc")),
            *("-qtest", f"unix:{self._folder}/qtest,server=on,wait=off", "-qtest-log", "/dev/null"),
            *("-serial", "mon:stdio" if console else f"file:{out}/serial.log"),
            *(more or []),
        ]
        if share is not None:
            command += ["-fsdev", f"local,id=share,path={share},security_model=none"]
            command += ["-device", "virtio-9p-pci,fsdev=share,mount_tag=share"]
        self._process = subprocess.Popen(
            [str(word) for word in command],
            stdin=None if console else subprocess.DEVNULL,
            stderr=None if console else (out / "qemu.log").open("wb"),
        )
        self.events: list[dict] = []
        self._answers: queue.Queue = queue.Queue()
        self._asked = 0
        self._requests = 0
        self._qmp_lock = threading.Lock()
        self._qtest_lock = threading.Lock()
        self._agent_lock = threading.Lock()
        self._qmp = self._connect("qmp")
        self._qtest = self._connect("qtest")
        self._agent = self._connect("agent")
        threading.Thread(target=self._read_qmp, daemon=True).start()
        self.qmp("qmp_capabilities")

    def _image(self, image: Image, appliance: bytes, console: bool) -> list:
        """QEMU's options for the image with the appliance in it."""
        (self._folder / "initrd").write_bytes(image.ram_disk.read_bytes() + appliance)
        data = self._folder / "data.img"
        with data.open("wb") as file:
            file.truncate(64 << 20)
        run([tool("mke2fs", "e2fsprogs"), "-q", "-t", "ext4", data])
        # The machine shares its processors with others, whose work may make a device or a unit ten times as late.
        patience = "systemd.default_device_timeout_sec=600 systemd.default_timeout_start_sec=600"
        options = f"console=ttyAMA0 loglevel=4 panic=10 vt.global_cursor_default=0 systemd.show_status=0 {patience}"
        if console:
            options += " rig.console"
        return [
            *("-kernel", image.kernel, "-initrd", self._folder / "initrd", "-append", options),
            *("-drive", f"if=none,id=root,file={image.disk},format=raw,read-only=on,cache=unsafe"),
            *("-device", "virtio-blk-pci,drive=root"),
            *("-drive", f"if=none,id=data,file={data},format=raw,cache=unsafe", "-device", "virtio-blk-pci,drive=data"),
        ]

    def __enter__(self) -> "Machine":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def seconds(self) -> float:
        """Since QEMU was started."""
        return time.monotonic() - self.started

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait(self) -> int:
        """Waits until QEMU ends by itself."""
        return self._process.wait()

    def stop(self) -> None:
        """Switches the machine off and removes its temporary files."""
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        run(["rm", "-rf", self._folder])

    def cut_power(self) -> None:
        """Ends QEMU at once: what the guest has not written yet is lost."""
        self._process.kill()
        self._process.wait()

    def _connect(self, name: str) -> socket.socket:
        deadline = time.monotonic() + 30
        while True:
            channel = socket.socket(socket.AF_UNIX)
            try:
                channel.connect(str(self._folder / name))
                return channel
            except OSError:
                channel.close()
                if not self.running or time.monotonic() > deadline:
                    log = self.out / "qemu.log"
                    said = log.read_text(errors="replace").strip() if log.exists() else ""
                    raise RigError(f"QEMU does not start: {said}") from None
                time.sleep(0.1)

    # ---- QMP ---------------------------------------------------------------------------------------------------------

    def _read_qmp(self) -> None:
        with contextlib.suppress(OSError, json.JSONDecodeError):
            for line in self._qmp.makefile("r"):
                message = json.loads(line)
                if "event" in message:
                    self.events.append(message)
                elif "QMP" not in message:
                    self._answers.put(message)
        # Whoever waits for an answer gets none any more.
        self._answers.put({"error": {"desc": "it has ended"}})

    def qmp(self, command: str, **arguments: object) -> object:
        """One command to QEMU; its answer."""
        with self._qmp_lock:
            self._asked += 1
            asked = {"execute": command, "arguments": arguments, "id": self._asked}
            self._qmp.sendall(json.dumps(asked).encode() + b"\n")
            # An answer to what was given up before has another number; the end of QEMU has none.
            while (answer := self._answer(command)).get("id", self._asked) != self._asked:
                pass
        if "error" in answer:
            raise RigError(f"QEMU refuses {command}: {answer['error']['desc']}")
        return answer["return"]

    def _answer(self, command: str) -> dict:
        try:
            return self._answers.get(timeout=30)
        except queue.Empty:
            raise RigError(f"QEMU does not answer {command}") from None

    def count(self, event: str) -> int:
        """How many such events QEMU has told of so far."""
        return sum(1 for known in list(self.events) if known["event"] == event)

    def wait_event(self, event: str, more_than: int, seconds: float) -> dict | None:
        """Waits for the next event of a kind; `None` when the time is up."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            known = [known for known in list(self.events) if known["event"] == event]
            if len(known) > more_than:
                return known[more_than]
            time.sleep(0.1)
        return None

    def screenshot(self, name: str) -> Path:
        """Writes what the monitor shows to `NAME.png` in the folder of results."""
        path = self.out / f"{name}.png"
        self.qmp("screendump", filename=str(path.resolve()), format="png")
        return path

    @property
    def folder(self) -> Path:
        """For sockets of whatever is plugged in; gone when the machine stops."""
        return self._folder

    @property
    def monitor(self) -> Path:
        """Where the monitor's cable is (monitor.py)."""
        return self._folder / "vnc"

    # ---- Keyboard and touch screen -----------------------------------------------------------------------------------

    def key(self, name: str) -> None:
        """Presses a key of the keyboard, by QEMU's name for it."""
        for down in (True, False):
            self._input({"type": "key", "data": {"down": down, "key": {"type": "qcode", "data": name}}})
            time.sleep(0.1)

    def touch(self, x: float, y: float) -> None:
        """Touches the picture, with places as shares of its width and height."""
        places = [
            {"type": "abs", "data": {"axis": axis, "value": int(32767 * share)}} for axis, share in (("x", x), ("y", y))
        ]
        self._input(*places)
        for down in (True, False):
            time.sleep(0.2)
            self._input({"type": "btn", "data": {"down": down, "button": "left"}})

    def _input(self, *events: dict) -> None:
        self.qmp("input-send-event", events=list(events))

    # ---- The board's lines, from outside the guest -------------------------------------------------------------------

    def level(self, line: Line) -> bool:
        """Level of one of the board's lines, as its chip has it."""
        return self.board.chips[line.chip].level(self, line.number)

    def drive(self, line: Line, high: bool) -> None:
        """Puts a level on one of the board's lines, as a contact would."""
        self.board.chips[line.chip].drive(self, line.number, high)

    def read(self, address: int) -> int:
        """A register of 32 bits."""
        told = self.qmp("human-monitor-command", **{"command-line": f"xp /1xw {address:#x}"})
        found = re.search(r":\s*(0x[0-9a-f]+)", told)
        if found is None:
            raise RigError(f"QEMU cannot read {address:#x}: {told.strip()}")
        return int(found[1], 16)

    def find(self, folder: str, called: str) -> str:
        """QEMU's path of a device by its name, or by its kind."""
        for child in self.qmp("qom-list", path=folder):
            if called in (child["name"], child["type"]):
                return f"{folder}/{child['name']}"
        raise RigError(f"the board has no {called}")

    def qtest(self, words: str) -> None:
        """Does something to the board's wires and registers that no program in the guest does."""
        with self._qtest_lock:
            self._qtest.sendall(f"{words}\n".encode())
            answer = self._qtest.recv(4096).decode()
        if not answer.startswith("OK"):
            raise RigError(f"QEMU refuses `{words}`: {answer.strip()}")

    # ---- The guest ---------------------------------------------------------------------------------------------------

    def guest(self, script: str, seconds: float = 60, grace: float = 30) -> Answer:
        """Runs a shell script as root in the guest. Status 124: the guest ended it after `seconds`; 125: it did not even do
        that within the time of grace."""
        with self._agent_lock:
            self._requests += 1
            request = self._requests
            resets = self.count("RESET")
            coded = base64.b64encode(script.encode()).decode()
            self._agent.sendall(f"{request} {seconds:.0f} {coded}\n".encode())
            deadline = time.monotonic() + seconds + grace
            pending = b""
            while True:
                left = deadline - time.monotonic()
                if left <= 0 or not self.running or self.count("RESET") > resets:
                    why = "it was reset" if self.count("RESET") > resets else "it does not answer"
                    return Answer(125, f"the guest ended no script: {why}")
                self._agent.settimeout(min(left, 5))
                try:
                    pending += self._agent.recv(1 << 16)
                except TimeoutError:
                    continue
                while b"\n" in pending:
                    line, _, pending = pending.partition(b"\n")
                    words = line.split(b" ")
                    # Answers to what was asked before a restart of the guest have other numbers.
                    if len(words) == 4 and words[:2] == [b"=", str(request).encode()]:
                        return Answer(int(words[2]), base64.b64decode(words[3]).decode(errors="replace"))

    def wait_guest(self, seconds: float) -> bool:
        """Waits until the agent answers. What is asked before it listens may be lost."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.running:
            if self.guest("true", 5, grace=5).good:
                return True
        return False

    def until(self, script: str, seconds: float, pause: float = 0.5) -> Answer:
        """Runs a script again and again until it succeeds; the last answer, whatever it is, when the time is up."""
        deadline = time.monotonic() + seconds
        while True:
            answer = self.guest(script, 30)
            if answer.good or time.monotonic() > deadline or not self.running:
                return answer
            time.sleep(pause)
