"""Reads what a `.tflite` file says of itself, without TensorFlow: tensors, operators, and the Edge TPU's packages.

Slots of the tables are those of TFLite's schema and, for packages, of the published `executable.fbs` (libedgetpu). A
file that breaks off or points outside itself is a `UserError`, never an IndexError.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from flatbuffers.table import Table

from .errors import UserError

ELEMENT_NAMES = {0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 9: "int8"}
EDGE_TPU_OPERATOR = "edgetpu-custom-op"
PACKAGE_MARK = b"DWN1"
PARAMETER_CACHING = 1


@dataclass(frozen=True)
class Tensor:
    """A tensor's name and form. Without quantisation, `scale` is none."""

    name: str
    shape: tuple[int, ...]
    element: str
    scale: float | None
    zero_point: int | None


@dataclass(frozen=True)
class Package:
    """One `edgetpu-custom-op`: where its parameters live, and whose they may share the chip with."""

    token: int
    on_chip_bytes: int
    streamed_bytes: int


@dataclass(frozen=True)
class Model:
    """What a file holds: tensors at both ends, operators in order, packages."""

    inputs: list[Tensor]
    outputs: list[Tensor]
    operators: list[str]
    packages: list[Package]


def read(path: Path) -> Model:
    """Reads a file."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read model {path}: {error}") from error
    return parse(content, str(path))


def parse(content: bytes, name: str) -> Model:
    """Reads a file's content; `name` is for messages."""
    if content[4:8] != b"TFL3":
        raise UserError(f"{name} is no TFLite model")
    try:
        return _parse(content)
    except (struct.error, IndexError, UnicodeDecodeError, TypeError, OverflowError) as error:
        raise UserError(f"{name} is damaged: {error}") from error


@dataclass(frozen=True)
class Layer:
    """A convolution or dense layer with real-valued weights, laid out as Keras has them."""

    kind: str  # "convolution", "depthwise" or "dense"
    kernel: np.ndarray
    bias: np.ndarray


# Operator codes of layers with a kernel and a bias, and the axes that turn TFLite's kernels into Keras's.
LAYERS = {
    "builtin 3": ("convolution", (1, 2, 3, 0)),
    "builtin 4": ("depthwise", (1, 2, 3, 0)),
    "builtin 9": ("dense", (1, 0)),
}


def layers(path: Path) -> list[Layer]:
    """Every convolution and dense layer of an int8 model, in the order they are run, dequantised."""
    content = path.read_bytes()
    parse(content, str(path))
    try:
        return _layers(content)
    except (struct.error, IndexError, ValueError) as error:
        raise UserError(f"{path}: its weights cannot be read: {error}") from error


def _layers(content: bytes) -> list[Layer]:
    model = _root(content)
    codes = [_code(code) for code in _tables(model, 6)]
    buffers = _tables(model, 12)
    graph = _tables(model, 8)[0]
    tensors = _tables(graph, 4)

    def real(index: int, form: str) -> np.ndarray:
        tensor = tensors[index]
        quantisation = _table(tensor, 12)
        if quantisation is None:
            raise ValueError("a layer without quantisation")
        shape = tuple(_numbers(tensor, 4, "<i4"))
        stored = np.frombuffer(_bytes(buffers[_scalar(tensor, 8, "<I")], 4), form).reshape(shape)
        scale = _numbers(quantisation, 8, "<f4")
        if len(scale) == 1:
            return stored * scale[0]
        along = [1] * len(shape)
        along[_scalar(quantisation, 16, "<i")] = -1
        return stored * scale.reshape(along)

    found = []
    for operator in _tables(graph, 10):
        code = codes[_scalar(operator, 4, "<I")]
        if code in LAYERS:
            kind, axes = LAYERS[code]
            _, kernel, bias = _numbers(operator, 6, "<i4")
            weights = np.transpose(real(int(kernel), "<i1"), axes).astype(np.float32)
            found.append(Layer(kind, weights, real(int(bias), "<i4").astype(np.float32)))
    return found


def _parse(content: bytes) -> Model:
    model = _root(content)
    codes = [_code(code) for code in _tables(model, 6)]
    (graph,) = _tables(model, 8)[:1]
    tensors = [_tensor(table) for table in _tables(graph, 4)]
    operators = _tables(graph, 10)
    packages = [
        _package(bytes(_bytes(operator, 14)))
        for operator in operators
        if codes[_scalar(operator, 4, "<I")] == EDGE_TPU_OPERATOR
    ]
    return Model(
        inputs=[tensors[index] for index in _numbers(graph, 6, "<i4")],
        outputs=[tensors[index] for index in _numbers(graph, 8, "<i4")],
        operators=[codes[_scalar(operator, 4, "<I")] for operator in operators],
        packages=packages,
    )


def _package(options: bytes) -> Package:
    mark = options.find(PACKAGE_MARK)
    if mark < 4:
        raise UserError("an edgetpu-custom-op without a package in it; compile the model again")
    multi = _root(bytes(_bytes(_root(options[mark - 4 :]), 6)))
    tokens, on_chip, streamed = set(), 0, 0
    for raw in _strings(multi, 4):
        executable = _root(raw)
        tokens.add(_scalar(executable, 32, "<Q"))
        parameters = len(_bytes(executable, 16))
        if _scalar(executable, 30, "<h") == PARAMETER_CACHING:
            on_chip += parameters
        else:
            streamed += parameters
    if len(tokens) != 1:
        raise UserError(f"a package with {len(tokens)} parameter caching tokens; compile the model again")
    return Package(tokens.pop(), on_chip, streamed)


def _tensor(table: Table) -> Tensor:
    scale = zero_point = None
    quantisation = _table(table, 12)
    if quantisation is not None:
        scales, zeros = _numbers(quantisation, 8, "<f4"), _numbers(quantisation, 10, "<i8")
        if len(scales) == 1 and len(zeros) == 1:
            scale, zero_point = float(scales[0]), int(zeros[0])
    element = _scalar(table, 6, "<b")
    shape = tuple(int(length) for length in _numbers(table, 4, "<i4"))
    name = bytes(_bytes(table, 10)).decode()
    return Tensor(name, shape, ELEMENT_NAMES.get(element, f"type {element}"), scale, zero_point)


def _code(table: Table) -> str:
    custom = bytes(_bytes(table, 6)).decode()
    return custom or f"builtin {max(_scalar(table, 4, '<b'), _scalar(table, 10, '<i'))}"


def _root(content: bytes) -> Table:
    return Table(content, struct.unpack_from("<I", content, 0)[0])


def _scalar(table: Table, slot: int, form: str) -> int:
    offset = table.Offset(slot)
    return struct.unpack_from(form, table.Bytes, table.Pos + offset)[0] if offset else 0


def _vector(table: Table, slot: int) -> tuple[int, int]:
    """Start and length of a vector; a length beyond the file is refused."""
    offset = table.Offset(slot)
    if not offset:
        return 0, 0
    start, length = table.Vector(offset), table.VectorLen(offset)
    if start < 0 or start + length > len(table.Bytes):
        raise IndexError(f"a vector of {length} at {start} of {len(table.Bytes)} bytes")
    return start, length


def _bytes(table: Table, slot: int) -> memoryview:
    start, length = _vector(table, slot)
    return memoryview(table.Bytes)[start : start + length]


def _numbers(table: Table, slot: int, form: str) -> np.ndarray:
    start, length = _vector(table, slot)
    if start + length * np.dtype(form).itemsize > len(table.Bytes):
        raise IndexError(f"{length} numbers at {start} of {len(table.Bytes)} bytes")
    return np.frombuffer(table.Bytes, form, length, start)


def _table(table: Table, slot: int) -> Table | None:
    offset = table.Offset(slot)
    return Table(table.Bytes, table.Indirect(table.Pos + offset)) if offset else None


def _tables(table: Table, slot: int) -> list[Table]:
    start, length = _vector(table, slot)
    return [Table(table.Bytes, table.Indirect(start + 4 * index)) for index in range(length)]


def _strings(table: Table, slot: int) -> list[bytes]:
    start, length = _vector(table, slot)
    found = []
    for index in range(length):
        at = start + 4 * index
        at += struct.unpack_from("<I", table.Bytes, at)[0]
        size = struct.unpack_from("<I", table.Bytes, at)[0]
        if at + 4 + size > len(table.Bytes):
            raise IndexError(f"an executable of {size} bytes at {at} of {len(table.Bytes)}")
        found.append(bytes(table.Bytes[at + 4 : at + 4 + size]))
    return found
