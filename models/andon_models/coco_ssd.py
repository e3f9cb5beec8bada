"""COCO-SSD as a TensorFlow graph: reads the TensorFlow.js package, hands out the parts the two models are made of.

Roles:

- `Package`  the graph's nodes and its weights, as the package stores them; no TensorFlow.
- `detector_graph`  the network between the normalised image and its two raw outputs, ready for the converter.
- `anchors`  the 1917 default boxes, as centre and size.
- `backbone_weights`  MobileNetV2's convolutions with their batch normalisation folded in, for transfer learning.
- `shipped_backbone_weights`  the same, nearly, out of the int8 detector of this folder, where nothing can be fetched.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import tflite_file
from .errors import UserError

SHIPPED = Path(__file__).parent.parent / "detector_coco_ssd_300_int8.tflite"
INPUT_SIZE = 300
ANCHOR_COUNT = 1917
CLASS_COUNT = 90

# Node names in the package's graph.
NORMALISED_IMAGE = "Preprocessor/sub"  # 2/255 * pixel - 1
BOX_ENCODINGS = "Squeeze"  # [1917, 4] ty, tx, th, tw
CLASS_SCORES = "Postprocessor/convert_scores"  # [1, 1917, 91], column 0 is the background
ANCHOR_CORNERS = "Postprocessor/ExpandDims"  # [1, 1917, 4] ymin, xmin, ymax, xmax

# The 90-class map of the COCO detection models: ten of the ids were never used in the data set. Index 0 is COCO's id 1.
LABELS = (
    "person bicycle car motorcycle airplane bus train truck boat traffic_light fire_hydrant - stop_sign parking_meter "
    "bench bird cat dog horse sheep cow elephant bear zebra giraffe - backpack umbrella - - handbag tie suitcase "
    "frisbee skis snowboard sports_ball kite baseball_bat baseball_glove skateboard surfboard tennis_racket bottle - "
    "wine_glass cup fork knife spoon bowl banana apple sandwich orange broccoli carrot hot_dog pizza donut cake chair "
    "couch potted_plant bed - dining_table - - toilet - tv laptop mouse remote keyboard cell_phone microwave oven "
    "toaster sink refrigerator - book clock vase scissors teddy_bear hair_drier toothbrush"
).split()
# Channels that MobileNetV2's blocks end in; the detector's branches end in others.
PROJECTED = (16, 24, 32, 64, 96, 160, 320)
assert len(LABELS) == CLASS_COUNT and LABELS[52] == "apple"


@dataclass(frozen=True)
class Package:
    """The package's graph: `nodes` as JSON objects in file order, `weights` by constant name."""

    nodes: list
    weights: dict

    @staticmethod
    def read(directory: Path) -> "Package":
        """Reads `model.json` and the weight shards it lists."""
        model = json.loads((directory / "model.json").read_text())
        (group,) = model["weightsManifest"]
        shards = b"".join((directory / shard).read_bytes() for shard in group["paths"])
        weights, offset = {}, 0
        for entry in group["weights"]:
            dtype, shape = np.dtype(entry["dtype"]), entry["shape"]
            count = int(np.prod(shape, dtype=np.int64))
            weights[entry["name"]] = np.frombuffer(shards, dtype, count, offset).reshape(shape)
            offset += count * dtype.itemsize
        if offset != len(shards):
            raise ValueError(f"weight shards hold {len(shards)} bytes, the manifest describes {offset}")
        return Package(model["modelTopology"]["node"], weights)


def anchors(package: Package) -> np.ndarray:
    """Default boxes `[1917, 4]`: centre y, centre x, height, width, normalised to the image."""
    ymin, xmin, ymax, xmax = package.weights[ANCHOR_CORNERS][0].T
    height, width = ymax - ymin, xmax - xmin
    return np.stack([ymin + height / 2, xmin + width / 2, height, width], axis=1).astype(np.float32)


def detector_graph(package: Package):  # noqa: ANN201 - a GraphDef; TensorFlow is imported below
    """GraphDef from `NORMALISED_IMAGE`, made a placeholder `[1, 300, 300, 3]`, to the two raw outputs."""
    import tensorflow as tf

    graph = tf.compat.v1.GraphDef()
    for json_node in package.nodes:
        node = graph.node.add(op=json_node["op"], name=json_node["name"])
        if node.op == "Const":
            value = package.weights[node.name]
            node.attr["dtype"].type = tf.as_dtype(value.dtype).as_datatype_enum
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
        elif node.name == NORMALISED_IMAGE:
            node.op = "Placeholder"
            node.attr["dtype"].type = tf.float32.as_datatype_enum
            node.attr["shape"].shape.CopyFrom(tf.TensorShape([1, INPUT_SIZE, INPUT_SIZE, 3]).as_proto())
        else:
            node.input.extend(json_node.get("input", []))
            for name, value in json_node.get("attr", {}).items():
                _copy_attribute(node.attr[name], value)
    _split_three_way_sums(graph)
    return tf.compat.v1.graph_util.extract_sub_graph(graph, [BOX_ENCODINGS, CLASS_SCORES])


def backbone_weights(package: Package, last_block: int) -> dict:
    """Kernels and biases of MobileNetV2 up to `expanded_conv_<last_block>`, batch normalisation folded in.

    Keys are `(block, stage)`: `("stem", "conv")`, then `(n, "expand" | "depthwise" | "project")`; block 0 has no
    expand stage. Kernels are laid out as Keras wants them.
    """
    prefix = "FeatureExtractor/MobilenetV2/"
    weights = package.weights

    def pointwise(path: str) -> tuple[np.ndarray, np.ndarray]:
        return weights[f"{path}/Conv2D/merged_input"], weights[f"{path}/BatchNorm/batchnorm/sub"]

    def depthwise(path: str) -> tuple[np.ndarray, np.ndarray]:
        # the exporter folded only the pointwise convolutions: here the scale is still a separate multiplication
        scale = weights[f"{path}/BatchNorm/batchnorm/mul"].reshape(1, 1, -1, 1)
        return weights[f"{path}/depthwise_weights"] * scale, weights[f"{path}/BatchNorm/batchnorm/sub"]

    folded = {("stem", "conv"): pointwise(prefix + "Conv")}
    for block in range(last_block + 1):
        path = prefix + ("expanded_conv" if block == 0 else f"expanded_conv_{block}")
        if block > 0:
            folded[block, "expand"] = pointwise(f"{path}/expand")
        folded[block, "depthwise"] = depthwise(f"{path}/depthwise")
        folded[block, "project"] = pointwise(f"{path}/project")
    return folded


def shipped_backbone_weights(last_block: int, detector: Path = SHIPPED) -> dict:
    """As `backbone_weights`, from the int8 detector: rounded to 255 steps for each channel.

    The convolutions come in the order in which they run. At block 13 the detector's own branches lie between expansion
    and projection: a block's depthwise convolution is the one right before its projection.
    """
    layers = tflite_file.layers(detector)
    stem, first, first_project, *rest = layers
    weights = {
        ("stem", "conv"): stem,
        (0, "depthwise"): first,
        (0, "project"): first_project,
    }
    channels = first_project.kernel.shape[3]
    position = 0
    for block in range(1, last_block + 1):
        expand = rest[position]
        wide = channels * 6
        project = next(
            (
                at
                for at in range(position + 2, len(rest))
                if rest[at].kernel.shape[:3] == (1, 1, wide)
                and rest[at - 1].kind == "depthwise"
                and rest[at].kernel.shape[3] in PROJECTED
            ),
            None,
        )
        if project is None or expand.kernel.shape != (1, 1, channels, wide):
            raise UserError(f"{detector}: its block {block} is not MobileNetV2's")
        weights[block, "expand"], weights[block, "depthwise"] = expand, rest[project - 1]
        weights[block, "project"] = rest[project]
        channels, position = rest[project].kernel.shape[3], project + 1
    return {key: (layer.kernel, layer.bias) for key, layer in weights.items()}


def _copy_attribute(attribute, value: dict) -> None:  # noqa: ANN001 - an AttrValue
    ((kind, content),) = value.items()
    if kind == "type":
        attribute.type = content
    elif kind == "b":
        attribute.b = content
    elif kind == "i":
        attribute.i = int(content)
    elif kind == "f":
        attribute.f = content
    elif kind == "s":
        attribute.s = bytes(content)
    elif kind == "list":
        attribute.list.i.extend(int(item) for item in content["i"])
    elif kind == "shape":
        attribute.shape.unknown_rank = content.get("unknownRank", False)
        for dim in content["dim"]:
            attribute.shape.dim.add(size=int(dim["size"]))
    else:
        raise ValueError(f"attribute kind {kind} is not known")


def _split_three_way_sums(graph) -> None:  # noqa: ANN001 - a GraphDef
    """Rewrites `bias + AddN(conv, shortcut)` as `(conv + bias) + shortcut`.

    The exporter's optimiser left this form at every residual connection. TFLite's ADD_N has no int8 kernel, so those
    layers would stay float; written as two sums, the converter folds the bias and quantises both.
    """
    by_name = {node.name: node for node in graph.node}
    for outer in graph.node:
        if outer.op != "Add" or by_name[outer.input[1]].op != "AddN":
            continue
        bias, inner = outer.input[0], by_name[outer.input[1]]
        conv, shortcut = inner.input
        assert by_name[bias].op == "Const" and by_name[conv].op == "Conv2D"
        inner.op = "Add"
        for name in [name for name in inner.attr if name != "T"]:
            del inner.attr[name]
        inner.input[:] = [conv, bias]
        outer.input[:] = [inner.name, shortcut]
    assert not any(node.op == "AddN" for node in graph.node)
