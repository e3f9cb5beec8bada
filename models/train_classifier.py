#!/usr/bin/env python3
"""Trains the classifier on your own photographs and writes it as int8 TFLite.

    models/train_classifier.py --data DIR [--out DIR]

The data directory holds one folder per class, any number of classes; the folder names become the labels:

    DIR/fresh_apple/*.jpg
    DIR/rotten_apple/*.jpg

The shipped model was made from part of the Kaggle set "Fruits fresh and rotten for classification" (its folders
`freshapples` and `rottenapples`, renamed). Photographs on plain white or black paper are cut out and set into scenes;
others are used with the surroundings they have.

    split by photograph → frozen part of MobileNetV2, once per sample → train the rest → int8 → figures on the test part

The network is MobileNetV2 up to block 13 of 17, started from the detector's backbone (COCO), so that it shares the
Edge TPU's 8 MB with the detector. The test photographs are looked at once, at the end; the epoch is chosen on the
validation photographs. Results are seeded; another TensorFlow or another processor still gives other last digits.
"""

import argparse
import json
import multiprocessing
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import numpy as np

import coco_ssd
import photographs
import scenes
import sources

LAST_BLOCK = 13
LAST_FROZEN_BLOCK = 6  # first block at stride 16: edges and textures, good as they are
BLEMISHED = "rotten"  # painted blemishes turn any other class into the one whose name begins so, if there is one
PAINTED_SHARE = 0.4  # of the training samples of that class
SCENE_KINDS = ("belt", "dark", "wood", "picture")  # the changed backgrounds of the test


def main() -> None:
    arguments = parse_arguments()
    cv2.setNumThreads(1)
    files, classes = photographs.read(arguments.data)
    count = photographs.find_photographs(files)
    for file in files:
        file.mask = photographs.cut_out(file)
    roles = photographs.split(files, arguments.seed, validation=0.12, test=0.25)
    figures = {"seed": arguments.seed, "files": len(files), "photographs": count, "split": describe(roles, classes)}
    print(json.dumps(figures["split"], indent=1))

    backgrounds = scenes.Backgrounds.read(sources.opencv_doc_dir())
    stage = SampleStage(backgrounds, next((i for i, name in enumerate(classes) if name.startswith(BLEMISHED)), None))
    # Worker processes start before TensorFlow and its threads do.
    training = stage.draw(training_plan(roles.train, len(classes), arguments.samples, stage.blemished, arguments.seed))
    validation = stage.draw(scene_plan(roles.validation, arguments.seed + 1, (None, None, None), vary=True))
    tests = {"photographs": plain_inputs(roles.test)}
    for kind in SCENE_KINDS:
        tests[f"scene {kind}"] = stage.draw(scene_plan(roles.test, arguments.seed + 2, (kind,), vary=False))
    if stage.blemished is not None:
        others = [file for file in roles.test if file.label != stage.blemished and file.mask is not None]
        tests["painted blemishes"] = stage.draw([(file, stage.blemished, True, "belt", False, (arguments.seed, 3, i))
                                                 for i, file in enumerate(others)])

    import network

    net = network.Classifier(len(classes), LAST_FROZEN_BLOCK, LAST_BLOCK, arguments.seed)
    net.load_backbone(coco_ssd.backbone_weights(coco_ssd.Package.read(sources.coco_ssd_dir()), LAST_BLOCK))
    figures["epochs"] = net.train(training, validation, arguments.epochs)
    model = net.to_int8(training[0][:256])

    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / f"{arguments.name}.tflite").write_bytes(model)
    (arguments.out / arguments.labels).write_text("".join(f"{i} {name}\n" for i, name in enumerate(classes)))

    for name, (inputs, labels) in tests.items():
        figures[name] = {"float": confusion(labels, net.predict(inputs), len(classes)),
                         "int8": confusion(labels, network.predict_int8(model, inputs), len(classes))}
        print(f"{name:20} rows true, columns predicted {classes}")
        for kind, table in figures[name].items():
            recalls = ["-" if not sum(row) else f"{row[i] / sum(row):.4f}" for i, row in enumerate(table)]
            print(f"    {kind:5} {table}  recall {recalls}")
    if arguments.figures:
        arguments.figures.write_text(json.dumps(figures, indent=1) + "\n")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="one folder of photographs per class")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--name", default="classifier_apple_224_int8")
    parser.add_argument("--labels", default="apple_labels.txt")
    parser.add_argument("--figures", type=Path, help="write all figures as JSON")
    parser.add_argument("--samples", type=int, default=8000, help="training samples drawn")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args()


class SampleStage:
    """Draws planned samples in worker processes. A sample depends on its plan alone, not on who draws it when."""

    def __init__(self, backgrounds, blemished):
        self.backgrounds = backgrounds
        self.blemished = blemished

    def draw(self, plan: list) -> tuple[np.ndarray, np.ndarray]:
        """Inputs `[N, 224, 224, 3]` uint8 RGB and labels `[N]`."""
        inputs = np.empty((len(plan), scenes.SIZE, scenes.SIZE, 3), np.uint8)
        global _STAGE, _PLAN
        _STAGE, _PLAN = self, plan
        with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
            for index, drawn in enumerate(pool.imap(_draw_planned, range(len(plan)), chunksize=32)):
                inputs[index] = drawn
        return inputs, np.array([entry[1] for entry in plan])


def _draw_planned(index: int) -> np.ndarray:
    file, _, blemish, kind, vary, seed = _PLAN[index]
    rng = np.random.default_rng(seed)
    return scenes.sample(rng, file.pixels, file.mask, _STAGE.backgrounds, blemish, kind, vary)


def training_plan(files: list, classes: int, samples: int, blemished: int | None, seed: int) -> list:
    """Every class equally often, and within a class every photograph, however many copies of it there are."""
    rng = np.random.default_rng([seed, 1])
    copies = {}
    for file in files:
        copies.setdefault((file.label, file.photograph), []).append(file)
    plan = []
    for index in range(samples):
        label = index % classes
        paint = label == blemished and rng.random() < PAINTED_SHARE
        choices = [key for key in copies if (key[0] != label if paint else key[0] == label)]
        own = copies[choices[rng.integers(len(choices))]]
        file = own[rng.integers(len(own))]
        if paint and file.mask is None:  # cannot be painted on: shown as what it is
            plan.append((file, file.label, False, None, True, (seed, 2, index)))
        else:
            plan.append((file, label, paint, None, True, (seed, 2, index)))
    return [plan[i] for i in rng.permutation(samples)]


def scene_plan(files: list, seed: int, kinds: tuple, vary: bool) -> list:
    """Each file once per kind, unblemished."""
    return [(file, file.label, False, kind, vary, (seed, turn, index))
            for turn, kind in enumerate(kinds) for index, file in enumerate(files)]


def plain_inputs(files: list) -> tuple[np.ndarray, np.ndarray]:
    """The photographs as they are, squeezed to the network's square."""
    size = (scenes.SIZE, scenes.SIZE)
    inputs = [cv2.cvtColor(cv2.resize(file.pixels, size, interpolation=cv2.INTER_LINEAR), cv2.COLOR_BGR2RGB)
              for file in files]
    return np.stack(inputs), np.array([file.label for file in files])


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> list:
    """Counts, row by true class and column by predicted class."""
    table = np.zeros((classes, classes), int)
    np.add.at(table, (labels, predicted), 1)
    return table.tolist()


def describe(roles: photographs.Split, classes: list) -> dict:
    """Files and photographs per role and class."""
    return {role: {name: {"files": sum(file.label == label for file in files),
                          "photographs": len({file.photograph for file in files if file.label == label})}
                   for label, name in enumerate(classes)}
            for role, files in vars(roles).items()}


if __name__ == "__main__":
    main()
