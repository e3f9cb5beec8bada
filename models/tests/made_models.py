"""Makes compiled models for the tests: the containers are real, the parameters are zeros."""

import flatbuffers

NAMES = {"caching": 1, "execution": 2}


def executable(kind: str, token: int, parameters: int) -> bytes:
    builder = flatbuffers.Builder(1024)
    content = builder.CreateByteVector(bytes(parameters))
    builder.StartObject(16)
    builder.PrependUOffsetTRelativeSlot(6, content, 0)
    builder.PrependInt16Slot(13, NAMES[kind], 0)
    builder.PrependUint64Slot(14, token, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())


def package(token: int, on_chip: int, streamed: int, second_token: int | None = None) -> bytes:
    other = token if second_token is None else second_token
    executables = [executable("caching", token, on_chip), executable("execution", other, streamed)]
    builder = flatbuffers.Builder(1024)
    strings = [builder.CreateString(one) for one in executables]
    builder.StartVector(4, len(strings), 4)
    for string in reversed(strings):
        builder.PrependUOffsetTRelative(string)
    listed = builder.EndVector()
    builder.StartObject(1)
    builder.PrependUOffsetTRelativeSlot(0, listed, 0)
    builder.Finish(builder.EndObject())
    multi = bytes(builder.Output())

    builder = flatbuffers.Builder(1024)
    content = builder.CreateByteVector(multi)
    builder.StartObject(2)
    builder.PrependUOffsetTRelativeSlot(1, content, 0)
    builder.Finish(builder.EndObject(), file_identifier=b"DWN1")
    return bytes(builder.Output())


def model(options: list[bytes], code: str = "edgetpu-custom-op") -> bytes:
    """A TFLite file of one uint8 tensor and a chain of custom operators."""
    builder = flatbuffers.Builder(1024)
    name, custom = builder.CreateString("image"), builder.CreateString(code)

    def numbers(values: list[int]) -> int:
        builder.StartVector(4, len(values), 4)
        for value in reversed(values):
            builder.PrependInt32(value)
        return builder.EndVector()

    def offsets(values: list[int]) -> int:
        builder.StartVector(4, len(values), 4)
        for value in reversed(values):
            builder.PrependUOffsetTRelative(value)
        return builder.EndVector()

    shape = numbers([1, 8, 8, 3])
    builder.StartObject(5)
    builder.PrependUOffsetTRelativeSlot(0, shape, 0)
    builder.PrependInt8Slot(1, 3, 0)
    builder.PrependUOffsetTRelativeSlot(3, name, 0)
    tensor = builder.EndObject()
    operators = []
    for one in options:
        content, ends = builder.CreateByteVector(one), numbers([0])
        builder.StartObject(6)
        builder.PrependUOffsetTRelativeSlot(1, ends, 0)
        builder.PrependUOffsetTRelativeSlot(2, ends, 0)
        builder.PrependUOffsetTRelativeSlot(5, content, 0)
        operators.append(builder.EndObject())
    tensors, ends, chain = offsets([tensor]), numbers([0]), offsets(operators)
    builder.StartObject(4)
    for slot, value in enumerate((tensors, ends, ends, chain)):
        builder.PrependUOffsetTRelativeSlot(slot, value, 0)
    graphs = offsets([builder.EndObject()])
    builder.StartObject(4)
    builder.PrependInt8Slot(0, 32, 0)
    builder.PrependUOffsetTRelativeSlot(1, custom, 0)
    codes = offsets([builder.EndObject()])
    builder.StartObject(3)
    builder.PrependUint32Slot(0, 3, 0)
    builder.PrependUOffsetTRelativeSlot(1, codes, 0)
    builder.PrependUOffsetTRelativeSlot(2, graphs, 0)
    builder.Finish(builder.EndObject(), file_identifier=b"TFL3")
    return bytes(builder.Output())


def compiled(token: int, on_chip: int, streamed: int) -> bytes:
    """A compiled model with one package."""
    return model([package(token, on_chip, streamed)])
