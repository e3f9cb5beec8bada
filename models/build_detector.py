#!/usr/bin/env python3
"""Builds the int8 detector from COCO-SSD: `models/detector_coco_ssd_300_int8.tflite` and `models/coco_labels.txt`.

    graph (float, TF.js) → int8 convolutions (post-training, calibrated on real pictures) → TFLite_Detection_PostProcess

The result has the shape of Coral's own SSD models, so that the program treats both alike:

    input   [1, 300, 300, 3] uint8 RGB, scale 2/255, zero_point 127
    output  boxes [1, N, 4] (ymin, xmin, ymax, xmax), classes [1, N], scores [1, N], count [1]; float32

Rows at or beyond `count` are uninitialised memory. Two runs with the pinned versions give the same bytes.
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import numpy as np
import tensorflow as tf

import coco_ssd
import sources

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--check", action="store_true", help="compare with the float network on the film's other frames")
    arguments = parser.parse_args()
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)

    package = coco_ssd.Package.read(sources.coco_ssd_dir())
    pictures = calibration_pictures(sources.opencv_doc_dir())
    print(f"calibrating on {len(pictures)} pictures")
    detector = detector_function(package)
    model = name_outputs(convert(detector, pictures))

    (out / f"{NAME}.tflite").write_bytes(model)
    used = [(index, label) for index, label in enumerate(coco_ssd.LABELS) if label != "-"]
    (out / "coco_labels.txt").write_text("".join(f"{index} {label.replace('_', ' ')}\n" for index, label in used))
    print(f"{out / NAME}.tflite: {len(model)} bytes, sha256 {sources.sha256_of(out / f'{NAME}.tflite')}")
    if arguments.check:
        check(model, name_outputs(convert(detector, None)), sources.opencv_doc_dir())


def network_input(picture_bgr: np.ndarray) -> np.ndarray:
    """OpenCV's BGR picture of any size as `[300, 300, 3]` uint8 RGB, aspect ratio not kept."""
    size = (coco_ssd.INPUT_SIZE, coco_ssd.INPUT_SIZE)
    return cv2.resize(cv2.cvtColor(picture_bgr, cv2.COLOR_BGR2RGB), size, interpolation=cv2.INTER_LINEAR)


def calibration_pictures(data: Path) -> list:
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
        raise SystemExit(f"{data / CALIBRATION_FILM}: no frame could be read")
    for name in CALIBRATION_PICTURES:
        picture = cv2.imread(str(data / name))
        if picture is None:
            raise SystemExit(f"{data / name}: not readable")
        plain = network_input(picture)
        height, width = picture.shape[:2]
        small = cv2.copyMakeBorder(picture, height // 3, height // 2, width // 3, width // 2,
                                   cv2.BORDER_CONSTANT, value=(127, 127, 127))
        pictures += [plain, plain[:, ::-1].copy(), network_input(small), (plain * 0.6).astype(np.uint8)]
    return pictures


def detector_function(package: coco_ssd.Package):
    """The network and the post-processing operator as one `tf.function`."""
    graph = coco_ssd.detector_graph(package)
    anchors = coco_ssd.anchors(package)
    rows = POST_PROCESS["max_detections"]

    # The converter replaces a function of this name and these attributes by the operator; the body only gives shapes.
    @tf.function(experimental_implements=_operator_signature("TFLite_Detection_PostProcess", POST_PROCESS))
    def post_process(box_encodings, class_scores, anchors):
        return tf.zeros([1, rows, 4]), tf.zeros([1, rows]), tf.zeros([1, rows]), tf.zeros([1])

    image = tf.TensorSpec([1, coco_ssd.INPUT_SIZE, coco_ssd.INPUT_SIZE, 3], tf.float32, name="image")

    @tf.function(input_signature=[image])
    def detect(image):
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


def convert(function, pictures: list | None) -> bytes:
    """Full-integer TFLite model with uint8 input; without pictures to calibrate on, its float twin."""

    def representative_dataset():
        for picture in pictures:
            yield [picture[np.newaxis].astype(np.float32) * (2.0 / 255.0) - 1.0]

    # By way of a SavedModel: given the function itself, the converter inlines the operator's dummy body and folds it away.
    with tempfile.TemporaryDirectory() as directory:
        module = tf.Module()
        module.detect = function
        tf.saved_model.save(module, directory, signatures={"serving_default": function})
        converter = tf.lite.TFLiteConverter.from_saved_model(directory, signature_keys=["serving_default"])
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
    assert tree.operatorCodes[operator.opcodeIndex].customCode == b"TFLite_Detection_PostProcess"
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
    for name, network in zip(("float", "int8"), networks):
        _run(network, apple)
        classes, scores = (network.get_tensor(network.get_output_details()[i]["index"])[0] for i in (1, 2))
        print(f"apple.jpg, {name}: {coco_ssd.LABELS[int(classes[0])]} {scores[0]:.2f}")


def _run(network, picture: np.ndarray) -> None:
    (details,) = network.get_input_details()
    if details["dtype"] == np.float32:
        picture = picture.astype(np.float32) * (2.0 / 255.0) - 1.0
    network.set_tensor(details["index"], picture[np.newaxis])
    network.invoke()


def _persons(network, picture: np.ndarray) -> list:
    _run(network, picture)
    boxes, classes, scores, count = (network.get_tensor(output["index"])[0] for output in network.get_output_details())
    return [(scores[i], boxes[i]) for i in range(int(count)) if classes[i] == 0 and scores[i] >= 0.3]


def _iou(a, b) -> float:
    height, width = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if height <= 0 or width <= 0:
        return 0.0
    both = height * width
    return float(both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both))


def _operator_signature(name: str, attributes: dict) -> str:
    """`name: "..." attr { key: "..." value { i: 1 } } ...`, the text form the converter looks for."""

    def value(content):
        if isinstance(content, bool):
            return f"b: {str(content).lower()}"
        return f"i: {content}" if isinstance(content, int) else f"f: {content}"

    parts = [f'attr {{ key: "{key}" value {{ {value(content)} }} }}' for key, content in attributes.items()]
    return " ".join([f'name: "{name}"', *parts])


if __name__ == "__main__":
    main()
