"""The boards that QEMU has: how it starts them, where things are plugged in, and where their lines are seen and touched from
outside the guest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .machine import Machine


@dataclass(frozen=True)
class Line:
    """A line of one of a board's chips, both counted from 0."""

    chip: int
    number: int


@dataclass(frozen=True)
class Chip:
    """A GPIO chip: the address where it shows the levels of its lines; QEMU's name for it, or its kind where it has none."""

    levels: int
    folder: str
    called: str

    def level(self, machine: Machine, number: int) -> bool:
        return bool(machine.read(self.levels) >> number & 1)

    def drive(self, machine: Machine, number: int, high: bool) -> None:
        machine.qtest(f"set_irq_in {machine.find(self.folder, self.called)} unnamed-gpio-in {number} {int(high)}")


@dataclass(frozen=True)
class BroadcomChip:
    """The Raspberry Pi's, which has no wires in QEMU. Registers by the BCM2711's manual (chapter 5): GPFSEL, GPSET, GPCLR,
    GPLEV, GPIO_PUP_PDN_CNTRL."""

    base: int

    def level(self, machine: Machine, number: int) -> bool:
        """Whether the line is an output and high: QEMU keeps the level of one that is an output no more."""
        return self.is_output(machine, number) and bool(machine.read(self.base + 0x34) >> number & 1)

    def is_output(self, machine: Machine, number: int) -> bool:
        return machine.read(self.base + number // 10 * 4) >> number % 10 * 3 & 7 == 1

    def drive(self, machine: Machine, number: int, high: bool) -> None:
        """QEMU takes what is written to the registers for the level of an input, too."""
        self.write(machine, 0x1C if high else 0x28, 1 << number)

    def pull_all(self, machine: Machine, pull: int) -> None:
        """Pulls all lines, as somebody did before the kernel."""
        for number in range(4):
            self.write(machine, 0xE4 + number * 4, pull * 0x5555_5555)

    def pull(self, machine: Machine, number: int) -> int:
        """0: none, 1: up, 2: down."""
        return machine.read(self.base + 0xE4 + number // 16 * 4) >> number % 16 * 2 & 3

    def write(self, machine: Machine, offset: int, value: int) -> None:
        machine.qtest(f"writel {self.base + offset:#x} {value:#x}")


@dataclass(frozen=True)
class Contacts:
    """What is wired outside: the relay of the run permission, its normally closed contact, what listens to the heartbeat,
    the reset button; and the level of a contact that is closed."""

    relay: Line
    pulse: Line
    edm: Line
    reset: Line
    closed: bool


@dataclass(frozen=True)
class Board:
    """A board: QEMU's options for it, what is plugged in, its chips, what is wired to them."""

    options: tuple[str, ...]
    # `{width}` and `{height}` are the monitor's, `{agent}` the character device that leads to the rig's agent.
    devices: tuple[str, ...]
    chips: tuple[Chip | BroadcomChip, ...]
    contacts: Contacts
    # The bus that a stick goes to, where there is more than one.
    usb: str = ""
    # The agent is on the board's first serial line, and the console on its second.
    serial_agent: bool = False

    def plugged(self, width: str, height: str, agent: str) -> list[str]:
        """QEMU's options for what is plugged in."""
        options = []
        for device in self.devices:
            options += ["-device", device.format(width=width, height=height, agent=agent)]
        return options + (["-serial", f"chardev:{agent}"] if self.serial_agent else [])


# QEMU's own: a PL061 with eight lines, of which the third from 0 is the board's power button.
VIRT = Board(
    options=("-M", "virt", "-cpu", "cortex-a72", "-smp", "2", "-m", "1536"),
    devices=(
        *("virtio-gpu-pci,id=gpu,xres={width},yres={height}", "qemu-xhci", "usb-kbd", "usb-tablet"),
        *("virtio-rng-pci", "i6300esb", "virtio-serial-pci", "virtserialport,chardev={agent},name=andon.rig"),
    ),
    chips=(Chip(0x0903_03FC, "/machine/unattached", "child<pl061>"),),
    contacts=Contacts(relay=Line(0, 0), pulse=Line(0, 2), edm=Line(0, 5), reset=Line(0, 4), closed=True),
)

# NXP's i.MX 8M Mini EVK, with its watchdog, card controllers and five GPIO chips. Lines by the names of their pads
# (docs/appliance.md, "Wire it"). QEMU 11.1's PCIe of this board reaches no memory, so nothing is there.
EVK = Board(
    options=("-M", "imx8mm-evk", "-smp", "2", "-m", "2048"),
    devices=(),
    chips=tuple(Chip(0x3020_0000 + number * 0x1_0000, "/machine/soc", f"gpio{number + 1}") for number in range(5)),
    # GPIO5_IO10, GPIO5_IO13, GPIO3_IO22, GPIO3_IO21.
    contacts=Contacts(relay=Line(4, 10), pulse=Line(4, 13), edm=Line(2, 22), reset=Line(2, 21), closed=False),
    usb="usb-bus.0",
    serial_agent=True,
)

# The Raspberry Pi 4. Its serial line to the agent is the one that the console has by default.
PI = Board(
    options=("-M", "raspi4b"),
    devices=(),
    chips=(BroadcomChip(0xFE20_0000),),
    contacts=Contacts(relay=Line(0, 17), pulse=Line(0, 24), edm=Line(0, 6), reset=Line(0, 5), closed=False),
    serial_agent=True,
)
