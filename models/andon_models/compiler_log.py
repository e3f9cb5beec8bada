"""Reads what `edgetpu_compiler` says: per model what lies on the chip, what is streamed, and what runs on the CPU.

Known forms: versions 2 to 16, one model or several at once, with the operators in the log (`-s`) or in a file of their
own (`NAME_edgetpu.log`, which knows nothing of memory). A log that says of a failure, or of no model at all, is a
`UserError` with the compiler's own words.
"""

import re
from dataclasses import dataclass, field

from .errors import UserError

UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
SIZE = re.compile(r"^([\d.]+)\s*(B|KiB|MiB|GiB)$")
OPERATOR = re.compile(r"^([A-Z][A-Z0-9_]*)\s+(\d+)\s+(\S.*)$")
SUCCESS = re.compile(r"^Models? compiled successfully in (\d+) ms")
MAPPED = "Mapped to Edge TPU"
# How the compiler begins to say that it could not.
FAILURES = ("Internal compiler error", "Compilation failed", "Invalid model", "ERROR", "Error", "Model not quantized")


@dataclass(frozen=True)
class Operator:
    """A kind of operator, how many there are, and where they run."""

    name: str
    count: int
    status: str

    @property
    def on_tpu(self) -> bool:
        """Whether the Edge TPU runs it."""
        return self.status == MAPPED


@dataclass
class CompiledModel:
    """What the compiler says of one model; sizes in bytes, as precise as it prints them."""

    source: str
    output: str = ""
    source_bytes: int = 0
    output_bytes: int = 0
    on_chip: int = 0
    on_chip_left: int = 0
    streamed: int = 0
    subgraphs: int = 0
    operations: int = 0
    operators: list[Operator] = field(default_factory=list)
    memory_known: bool = True  # an operation log has operators only

    @property
    def on_cpu(self) -> list[Operator]:
        """What the CPU has to run."""
        return [operator for operator in self.operators if not operator.on_tpu]


@dataclass
class Log:
    """What one run of the compiler said."""

    version: str
    milliseconds: int
    models: list[CompiledModel]


KEYS = {
    "Input size": ("source_bytes", "size"),
    "Output model": ("output", "text"),
    "Output": ("output", "text"),  # in an operation log
    "Output size": ("output_bytes", "size"),
    "On-chip memory used for caching model parameters": ("on_chip", "size"),
    "On-chip memory available for caching model parameters": ("on_chip_left", "size"),  # until version 2.0
    "On-chip memory remaining for caching model parameters": ("on_chip_left", "size"),
    "Off-chip memory used for streaming uncached model parameters": ("streamed", "size"),
    "Number of Edge TPU subgraphs": ("subgraphs", "number"),
    "Total number of operations": ("operations", "number"),
}


def parse(text: str) -> Log:
    """Reads the compiler's output."""
    version, milliseconds, models = "", 0, []
    failed = next((line.strip() for line in text.splitlines() if line.strip().startswith(FAILURES)), None)
    for line in map(str.strip, text.splitlines()):
        key, colon, value = (part.strip() for part in line.partition(":"))
        if line.startswith("Edge TPU Compiler version"):
            version = line.rsplit(" ", 1)[-1]
        elif found := SUCCESS.match(line):
            milliseconds = int(found[1])
        elif key in ("Input model", "Input") and colon:
            models.append(CompiledModel(value, memory_known=key == "Input model"))
        elif models and key in KEYS and colon:
            attribute, kind = KEYS[key]
            setattr(models[-1], attribute, _value(kind, value, line))
        elif models and (found := OPERATOR.match(line)):
            models[-1].operators.append(Operator(found[1], int(found[2]), found[3].strip()))
            if not models[-1].memory_known:
                models[-1].operations += int(found[2])
    if failed or not models:
        raise UserError(f"edgetpu_compiler failed: {failed or (text.strip() or 'it said nothing').splitlines()[-1]}")
    return Log(version, milliseconds, models)


def parse_operators(text: str) -> list[Operator]:
    """Reads the table of an operation log (`NAME_edgetpu.log`)."""
    found = (OPERATOR.match(line.strip()) for line in text.splitlines())
    return [Operator(one[1], int(one[2]), one[3].strip()) for one in found if one]


def size(text: str) -> int:
    """`4.89MiB` in bytes."""
    found = SIZE.match(text.strip())
    if not found:
        raise UserError(f"edgetpu_compiler's log has the size {text!r}, which is none of B, KiB, MiB, GiB")
    return round(float(found[1]) * UNITS[found[2]])


def _value(kind: str, value: str, line: str) -> int | str:
    if kind == "size":
        return size(value)
    if kind == "text":
        return value
    if not value.isdigit():
        raise UserError(f"edgetpu_compiler's log has no number in {line!r}")
    return int(value)
