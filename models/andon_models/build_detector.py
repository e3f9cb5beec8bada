"""Builds the int8 detector: from COCO-SSD (the shipped one), or from a network of TensorFlow's detection library.

    graph (float) → int8 convolutions (post-training, calibrated on real pictures) → TFLite_Detection_PostProcess

The result has the shape of Coral's own SSD models, so that the program treats both alike:

    input   [1, 300, 300, 3] uint8 RGB, scale 2/255, zero_point 127
    output  boxes [1, N, 4] (ymin, xmin, ymax, xmax), classes [1, N], scores [1, N], count [1]; float32

Rows at or beyond `count` are uninitialised memory. Two runs with the pinned versions give the same bytes.

Without options it builds `detector_coco_ssd_300_int8.tflite`. MobileDet and its like are in no package registry: with a
checkpoint of yours, `--checkpoint DIR` (with its `pipeline.config`) needs the `object_detection` package beside this
one; `--saved-model DIR` takes what its exporter `export_tflite_graph_tf2` wrote, wherever that ran.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from . import coco_ssd, sources, tflite_file
from .errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

NAME = "detector_coco_ssd_300_int8"

# What TFLite_Detection_PostProcess does with the raw outputs. The scales are the ones the network was trained with
# (its graph divides by 10 and 5). 50 detections rather than Coral's 20: a crowd must not push a person off the list.
# Scores under 0.1 are dropped before the suppression, which is where the operator spends its time; useful thresholds
# lie far above.
POST_PROCESS = {
    "max_detections": 50,
    "max_classes_per_detection": 1,
    "detections_per_class": 100,
    "use_regular_nms": False,
    "nms_score_threshold": 0.1,
    "nms_iou_threshold": 0.6,
    "y_scale": 10.0,
    "x_scale": 10.0,
    "h_scale": 5.0,
    "w_scale": 5.0,
    "num_classes": coco_ssd.CLASS_COUNT,
}

# Calibration: every 16th frame of the street film, and these pictures in four variants each.
CALIBRATION_FILM = "vtest.avi"
CALIBRATION_FILM_STEP = 16
CALIBRATION_PICTURES = (
    "apple.jpg orange.jpg fruits.jpg messi5.jpg basketball1.png squirrel_cls.jpg home.jpg baboon.jpg stuff.jpg "
    "building.jpg board.jpg smarties.png rubberwhale1.png leuvenA.jpg aloeL.jpg butterfly.jpg aero1.jpg"
).split()


# Output of object_detection's exporter that a checkpoint is turned into.
EXPORTER = "object_detection.export_tflite_graph_tf2"
EXPORT_SECONDS_MAX = 3600


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--out", type=Path, required=True, help="folder for the model and its labels")
    parser.add_argument("--name", help=f"of the model [{NAME}]")
    parser.add_argument("--check", action="store_true", help="compare with the float network on a street film")
    parser.add_argument("--saved-model", type=Path, metavar="DIR", help=f"SavedModel that {EXPORTER} wrote")
    parser.add_argument("--checkpoint", type=Path, metavar="DIR", help="TF2 checkpoint with its pipeline.config")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="label file of that network: `index label` a line")
    parser.add_argument(
        "--calibrate",
        type=Path,
        metavar="DIR",
        help="pictures to calibrate on, best from your own cameras [OpenCV's sample pictures]",
    )


def run(arguments: argparse.Namespace) -> None:
    """Does it."""
    if importlib.util.find_spec("tensorflow") is None:
        raise UserError("build-detector needs TensorFlow: `make models-env`")
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    if arguments.saved_model or arguments.checkpoint:
        foreign(arguments)
        return
    name = arguments.name or NAME
    package = coco_ssd.Package.read(sources.coco_ssd_dir())
    size = coco_ssd.INPUT_SIZE
    pictures = (
        calibration_pictures(sources.opencv_doc_dir())
        if not arguments.calibrate
        else own_pictures(arguments.calibrate, (size, size))
    )
    print(f"calibrating on {len(pictures)} pictures")
    detector = detector_function(package)
    model = name_outputs(convert(detector, pictures))

    (out / f"{name}.tflite").write_bytes(model)
    used = [(index, label) for index, label in enumerate(coco_ssd.LABELS) if label != "-"]
    labels = "".join(f"{index} {label.replace('_', ' ')}\n" for index, label in used)
    (out / "coco_labels.txt").write_text(labels)
    print(f"{out / name}.tflite: {len(model)} bytes, sha256 {sources.sha256_of(out / f'{name}.tflite')}")
    if arguments.check:
        check(model, name_outputs(convert(detector, None)), sources.opencv_doc_dir())


def foreign(arguments: argparse.Namespace) -> None:
    """A network of the object detection library, by way of its exporter's SavedModel."""
    if arguments.labels is None:
        raise UserError("--labels FILE is needed: the network's label file, one `index label` a line, from 0")
    with tempfile.TemporaryDirectory() as folder:
        saved = arguments.saved_model or export_checkpoint(arguments.checkpoint, Path(folder))
        if not (saved / "saved_model.pb").exists():
            raise UserError(f"{saved}: no saved_model.pb in it; it is not what {EXPORTER} wrote")
        size = input_size(saved)
        pictures = (
            own_pictures(arguments.calibrate, size)
            if arguments.calibrate
            else [resized(picture, size) for picture in calibration_pictures(sources.opencv_doc_dir())]
        )
        model = name_outputs(convert_saved(saved, pictures))
    name = arguments.name or f"detector_{(arguments.saved_model or arguments.checkpoint).resolve().name}_int8"
    (arguments.out / f"{name}.tflite").write_bytes(model)
    shutil.copyfile(arguments.labels, arguments.out / f"{name}_labels.txt")
    ends = tflite_file.parse(model, name)
    print(f"{arguments.out / name}.tflite: {len(model)} bytes, input {ends.inputs[0]}")


def export_checkpoint(checkpoint: Path, folder: Path) -> Path:
    """Runs the object detection library's exporter on a checkpoint; the SavedModel's folder."""
    pipeline = checkpoint / "pipeline.config"
    if not pipeline.exists():
        raise UserError(f"{pipeline} is missing: it comes with the checkpoint and says what network it belongs to")
    if importlib.util.find_spec("object_detection") is None:
        raise UserError(
            f"a checkpoint needs the package object_detection (tf-models-official's research/object_detection). Or run "
            f"there `python -m {EXPORTER} --pipeline_config_path {pipeline} --trained_checkpoint_dir {checkpoint} "
            "--output_directory OUT` and give --saved-model OUT/saved_model"
        )
    command = [
        sys.executable,
        "-m",
        EXPORTER,
        "--pipeline_config_path",
        str(pipeline),
        "--trained_checkpoint_dir",
        str(checkpoint),
        "--output_directory",
        str(folder),
    ]
    try:
        subprocess.run(command, check=True, timeout=EXPORT_SECONDS_MAX)
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError(f"the exporter failed: {error}") from error
    return folder / "saved_model"


def input_size(saved: Path) -> tuple[int, int]:
    """Height and width of a SavedModel's picture."""
    import tensorflow as tf

    signature = tf.saved_model.load(str(saved)).signatures["serving_default"]
    specs = list(signature.structured_input_signature[1].values())
    if len(specs) != 1 or specs[0].shape.rank != 4 or None in specs[0].shape[1:3]:
        raise UserError(f"{saved}: its input is {specs}, not one picture [1, height, width, 3]")
    return int(specs[0].shape[1]), int(specs[0].shape[2])


def own_pictures(folder: Path, size: tuple[int, int]) -> list[np.ndarray]:
    """Every picture below a folder as network input, and one with the extremes in it."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    pictures = [cv2.imread(str(path)) for path in paths]
    found = [resized(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), size) for picture in pictures if picture is not None]
    if not found:
        raise UserError(f"{folder}: no picture to calibrate on")
    # The input's scale comes from what the converter sees: black and white have to be in it.
    found[0][0, 0], found[0][0, 1] = 0, 255
    return found


def resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture at the network's size (height, width)."""
    return cv2.resize(picture, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)


def network_input(picture_bgr: np.ndarray) -> np.ndarray:
    """OpenCV's BGR picture of any size as `[300, 300, 3]` uint8 RGB, aspect ratio not kept."""
    size = (coco_ssd.INPUT_SIZE, coco_ssd.INPUT_SIZE)
    return cv2.resize(cv2.cvtColor(picture_bgr, cv2.COLOR_BGR2RGB), size, interpolation=cv2.INTER_LINEAR)


def calibration_pictures(data: Path) -> list[np.ndarray]:
    """Network inputs that show the activations their range: a real scene, and objects large, small, mirrored, dark."""
    pictures = []
    film = cv2.VideoCapture(str(data / CALIBRATION_FILM))
    for index in range(10_000):
        more, frame = film.read()
        if not more:
            break
        if index % CALIBRATION_FILM_STEP == 0:
            pictures.append(network_input(frame))
    if not pictures:
        raise UserError(f"{data / CALIBRATION_FILM}: no frame could be read")
    for name in CALIBRATION_PICTURES:
        picture = cv2.imread(str(data / name))
        if picture is None:
            raise UserError(f"{data / name}: not readable")
        plain = network_input(picture)
        height, width = picture.shape[:2]
        small = cv2.copyMakeBorder(
            picture, height // 3, height // 2, width // 3, width // 2, cv2.BORDER_CONSTANT, value=(127, 127, 127)
        )
        pictures += [plain, plain[:, ::-1].copy(), network_input(small), (plain * 0.6).astype(np.uint8)]
    return pictures


def detector_function(package: coco_ssd.Package) -> Callable:
    """The network and the post-processing operator as one `tf.function`."""
    import tensorflow as tf

    graph = coco_ssd.detector_graph(package)
    anchors = coco_ssd.anchors(package)
    rows = POST_PROCESS["max_detections"]

    # The converter replaces a function of this name and these attributes by the operator; the body only gives shapes.
    @tf.function(experimental_implements=_operator_signature("TFLite_Detection_PostProcess", POST_PROCESS))
    def post_process(box_encodings, class_scores, anchors):  # noqa: ANN001, ANN202 - its names are the operator's
        return tf.zeros([1, rows, 4]), tf.zeros([1, rows]), tf.zeros([1, rows]), tf.zeros([1])

    image = tf.TensorSpec([1, coco_ssd.INPUT_SIZE, coco_ssd.INPUT_SIZE, 3], tf.float32, name="image")

    @tf.function(input_signature=[image])
    def detect(image: tf.Tensor) -> dict[str, tf.Tensor]:
        encodings, scores = tf.graph_util.import_graph_def(
            graph,
            input_map={coco_ssd.NORMALISED_IMAGE: image},
            return_elements=[f"{coco_ssd.BOX_ENCODINGS}:0", f"{coco_ssd.CLASS_SCORES}:0"],
            name="",
        )
        encodings = tf.reshape(encodings, [1, coco_ssd.ANCHOR_COUNT, 4])
        scores = tf.reshape(scores, [1, coco_ssd.ANCHOR_COUNT, coco_ssd.CLASS_COUNT + 1])
        boxes, classes, scores, count = post_process(encodings, scores, tf.constant(anchors))
        return {"boxes": boxes, "classes": classes, "scores": scores, "count": count}

    return detect


def convert(function: Callable, pictures: list[np.ndarray] | None) -> bytes:
    """Full-integer TFLite model with uint8 input; without pictures to calibrate on, its float twin.

    By way of a SavedModel: given the function itself, the converter inlines the operator's dummy body, folding it away.
    """
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as directory:
        module = tf.Module()
        module.detect = function
        tf.saved_model.save(module, directory, signatures={"serving_default": function})
        return convert_saved(Path(directory), pictures)


def convert_saved(directory: Path, pictures: list[np.ndarray] | None) -> bytes:
    """As `convert`, of a SavedModel whose one input is a picture of -1 to 1."""
    import tensorflow as tf

    def representative_dataset():  # noqa: ANN202 - a generator, as the converter wants it
        for picture in pictures or []:
            yield [picture[np.newaxis].astype(np.float32) * (2.0 / 255.0) - 1.0]

    converter = tf.lite.TFLiteConverter.from_saved_model(str(directory), signature_keys=["serving_default"])
    converter.allow_custom_ops = True
    if pictures is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = representative_dataset
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
    return converter.convert()


def name_outputs(model: bytes) -> bytes:
    """Puts the graph's outputs in the operator's own order, under the names Coral's models use.

    The converter sorts them by signature key. The signature goes: it would still state the sorted order.
    """
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    tree = schema.ModelT.InitFromPackedBuf(model, 0)
    (graph,) = tree.subgraphs
    operator = graph.operators[-1]
    if tree.operatorCodes[operator.opcodeIndex].customCode != b"TFLite_Detection_PostProcess":
        raise UserError("the network does not end in TFLite_Detection_PostProcess; export it with " + EXPORTER)
    graph.outputs = list(operator.outputs)
    for position, tensor in enumerate(operator.outputs):
        suffix = f":{position}" if position else ""
        graph.tensors[tensor].name = f"TFLite_Detection_PostProcess{suffix}".encode()
    graph.tensors[graph.inputs[0]].name = b"normalized_input_image_tensor"
    tree.signatureDefs = []
    builder = flatbuffers.Builder(len(model))
    builder.Finish(tree.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def check(quantised: bytes, original: bytes, data: Path) -> None:
    """Prints how many of the float network's persons the int8 one finds too, at IoU 0.5, and the other way round.

    Frames midway between those calibrated on. A person counts from score 0.5 in one network, and as found from 0.3 in
    the other: a score may shift across a threshold without the person being lost.
    """
    import tensorflow as tf

    networks = []
    for model in (original, quantised):
        networks.append(tf.lite.Interpreter(model_content=model, num_threads=1))
        networks[-1].allocate_tensors()
    found, total, overlaps = [0, 0], [0, 0], []
    film, index = cv2.VideoCapture(str(data / CALIBRATION_FILM)), 0
    while True:
        more, frame = film.read()
        if not more:
            break
        if index % CALIBRATION_FILM_STEP == CALIBRATION_FILM_STEP // 2:
            picture = network_input(frame)
            seen = [_persons(network, picture) for network in networks]
            for side in (0, 1):
                for score, box in seen[side]:
                    if score >= 0.5:
                        overlap = max((_iou(box, other) for _, other in seen[1 - side]), default=0.0)
                        total[side] += 1
                        found[side] += overlap >= 0.5
                        overlaps += [overlap] * (side == 0 and overlap >= 0.5)
        index += 1
    print(f"persons of the float network found by int8: {found[0]} of {total[0]}, mean IoU {np.mean(overlaps):.3f}")
    print(f"persons of the int8 network found by float: {found[1]} of {total[1]}")
    apple = network_input(cv2.imread(str(data / "apple.jpg")))
    for name, network in zip(("float", "int8"), networks, strict=True):
        _run(network, apple)
        classes, scores = (network.get_tensor(network.get_output_details()[i]["index"])[0] for i in (1, 2))
        print(f"apple.jpg, {name}: {coco_ssd.LABELS[int(classes[0])]} {scores[0]:.2f}")


def _run(network: tf.lite.Interpreter, picture: np.ndarray) -> None:
    (details,) = network.get_input_details()
    if details["dtype"] == np.float32:
        picture = picture.astype(np.float32) * (2.0 / 255.0) - 1.0
    network.set_tensor(details["index"], picture[np.newaxis])
    network.invoke()


def _persons(network: tf.lite.Interpreter, picture: np.ndarray) -> list[tuple[float, np.ndarray]]:
    _run(network, picture)
    boxes, classes, scores, count = (network.get_tensor(output["index"])[0] for output in network.get_output_details())
    return [(scores[i], boxes[i]) for i in range(int(count)) if classes[i] == 0 and scores[i] >= 0.3]


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    height, width = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if height <= 0 or width <= 0:
        return 0.0
    both = height * width
    return float(both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both))


def _operator_signature(name: str, attributes: dict) -> str:
    """`name: "..." attr { key: "..." value { i: 1 } } ...`, the text form the converter looks for."""

    def value(content: float) -> str:
        if isinstance(content, bool):
            return f"b: {str(content).lower()}"
        return f"i: {content}" if isinstance(content, int) else f"f: {content}"

    parts = [f'attr {{ key: "{key}" value {{ {value(content)} }} }}' for key, content in attributes.items()]
    return " ".join([f'name: "{name}"', *parts])
