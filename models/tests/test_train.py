"""The classifier's training and both conversions, on pictures that take seconds. Needs TensorFlow."""

import argparse
import json
import os
import tomllib
from pathlib import Path

import cv2
import made_models
import numpy as np
import pytest
from conftest import CLASSES

from andon_models import build_detector, card, dataset, imagenet, runners, tflite_file, train_classifier
from andon_models.errors import UserError

pytestmark = pytest.mark.tensorflow

SMALL = ["--base", "none", "--last-block", "7", "--last-frozen", "3", "--workers", "0"]


def options(*given) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    train_classifier.add_arguments(parser)
    return parser.parse_args([str(one) for one in given])


def test_a_folder_of_made_up_parts_becomes_a_model_with_its_card(parts, tmp_path, capsys):
    out = tmp_path / "out"
    train_classifier.run(
        options(
            "--data",
            parts,
            "--out",
            out,
            "--name",
            "made",
            "--samples",
            "96",
            "--epochs",
            "1",
            "--first-epochs",
            "1",
            *SMALL,
        )
    )
    said = capsys.readouterr().out
    assert "[visual_inspection.grades]" in said
    model = tflite_file.read(out / "made.tflite")
    source, result = model.inputs[0], model.outputs[0]
    assert (source.element, source.shape, source.zero_point) == ("uint8", (1, 224, 224, 3), 127)
    # What the product accepts: byte 0 is -1, byte 255 is 1.
    assert source.scale == pytest.approx(2 / 255, rel=1e-5)
    assert (result.element, result.shape) == ("uint8", (1, 3))
    assert (out / "made_labels.txt").read_text() == "".join(f"{n} {name}\n" for n, name in enumerate(CLASSES))
    listed = tomllib.loads((out / "models.toml").read_text())["model"][0]
    assert listed["bytes"] == (out / "made.tflite").stat().st_size
    for name in (
        "model-card.md",
        "figures.json",
        "made.keras",
        "training.png",
        "confusion.png",
        "calibration.png",
        "mistakes.png",
    ):
        assert (out / name).stat().st_size > 0, name
    roles = [(row["role"], row["sha256"]) for row in json.loads((out / "split.json").read_text())]
    assert len({digest for _, digest in roles}) == len(roles) == 30
    assert not (out / "work").exists()
    figures = json.loads((out / "figures.json").read_text())
    assert figures["tests"][dataset.PHOTOGRAPHS]["count"] == sum(role == "test" for role, _ in roles)
    assert figures["tests"][dataset.PHOTOGRAPHS]["agreement"]["mean_difference"] < 0.05
    # The Keras file can be read again, and is the same network.
    pictures = sorted((parts / "gear").glob("*.png"))
    again = runners.KerasRunner(out / "made.keras").classify(pictures)
    int8 = runners.TfliteRunner((out / "made.tflite").read_bytes()).classify(pictures)
    np.testing.assert_allclose(again.scores, int8.scores, atol=0.1)


def network_of(seed: int):
    from andon_models import network

    net = network.Classifier(2, network.Shape(last_block=5, last_frozen=3, last_still=4), seed)
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 192)
    features = rng.normal(0, 1, (192, *net.feature_shape)).astype(np.float16) + labels[:, None, None, None]
    data = network.Data(features.astype(np.float16), labels)
    stages = [network.Stage("first", 4, 1, 1e-3), network.Stage("second", 3, 2, 1e-3)]
    return net, data, stages


def test_a_cut_training_ends_as_an_uncut_one(tmp_path):
    net, data, stages = network_of(3)
    whole = net.train(data, data, stages, [1.0, 1.0], 9, tmp_path / "whole.npz", lambda _: None)
    scores = net.probabilities_of_features(data.features)

    def cut(text: str) -> None:
        # Said before the epoch is stored: the second epoch of the second stage is lost and has to be done again.
        if text.startswith("second, epoch 2"):
            raise KeyboardInterrupt

    net, data, stages = network_of(3)
    with pytest.raises(KeyboardInterrupt):
        net.train(data, data, stages, [1.0, 1.0], 9, tmp_path / "cut.npz", cut)
    net, data, stages = network_of(3)
    resumed = net.train(data, data, stages, [1.0, 1.0], 9, tmp_path / "cut.npz", lambda _: None)
    assert len(resumed.epochs) == len(whole.epochs) == 3
    assert resumed.best == whole.best
    np.testing.assert_allclose(
        [epoch["validation_loss"] for epoch in resumed.epochs],
        [epoch["validation_loss"] for epoch in whole.epochs],
        rtol=0.02,
    )
    np.testing.assert_allclose(net.probabilities_of_features(data.features), scores, atol=0.02)


def test_nothing_better_ends_a_stage_early(tmp_path):
    net, data, _ = network_of(4)
    from andon_models import network

    # A rate of nothing: after the first epoch none is better.
    stages = [network.Stage("idle", 4, 9, 0.0)]
    history = net.train(data, data, stages, [1.0, 1.0], 2, tmp_path / "a.npz", lambda _: None)
    assert len(history.epochs) < 9


def test_a_temperature_is_built_into_the_last_layer():
    from andon_models import calibration

    net, data, _ = network_of(5)
    before = net.probabilities_of_features(data.features[:8])
    net.divide_logits(2.0)
    expected = calibration.with_temperature(before, 2.0)
    np.testing.assert_allclose(net.probabilities_of_features(data.features[:8]), expected, atol=1e-5)


def test_a_training_goes_on_from_a_quantised_classifier():
    from andon_models import network
    from andon_models.runners import TfliteRunner

    shipped = Path(__file__).parent.parent / "classifier_apple_224_int8.tflite"
    net = network.Classifier(2, network.Shape(), 1)
    net.load_trained(shipped)
    pictures = np.random.default_rng(3).integers(0, 255, (4, 224, 224, 3)).astype(np.uint8)
    pictures[2:] = cv2.GaussianBlur(pictures[2], (0, 0), 30)
    quantised = TfliteRunner(shipped.read_bytes()).classify_pixels(pictures)
    assert np.abs(net.probabilities(pictures) - quantised).mean() < 0.1
    with pytest.raises(UserError, match="another number of classes"):
        network.Classifier(3, network.Shape(), 1).load_trained(shipped)


def test_files_that_are_no_models_are_refused_in_one_line(tmp_path):
    damaged = tmp_path / "a.keras"
    damaged.write_bytes(b"no model")
    with pytest.raises(UserError, match="no Keras model"):
        runners.KerasRunner(damaged)
    with pytest.raises(UserError, match="no such file"):
        runners.KerasRunner(tmp_path / "b.keras")
    with pytest.raises(UserError, match="TFLite does not take the model"):
        runners.TfliteRunner(made_models.compiled(7, 64, 0))


def test_imagenet_weights_are_folded_as_keras_runs_them():
    from tensorflow import keras

    from andon_models import network

    keras.utils.set_random_seed(1)
    original = keras.applications.MobileNetV2((224, 224, 3), include_top=False, weights=None)
    rng = np.random.default_rng(1)
    for layer in original.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            size = layer.get_weights()[0].shape
            layer.set_weights(
                [
                    rng.uniform(0.5, 1.5, size),
                    rng.normal(0, 0.2, size),
                    rng.normal(0, 0.2, size),
                    rng.uniform(0.5, 1.5, size),
                ]
            )
    net = network.Classifier(2, network.Shape(last_block=7, last_frozen=6), 1)
    net.load_backbone(imagenet.fold(original, 7))
    picture = rng.integers(0, 255, (1, 224, 224, 3)).astype(np.uint8)
    until = keras.Model(original.input, original.get_layer("block_6_project_BN").output)
    expected = until(network.normalised(picture), training=False).numpy()
    np.testing.assert_allclose(net.features(picture).astype(np.float32), expected, atol=0.02, rtol=0.01)


def made_detector(folder) -> None:
    """A SavedModel as the object detection library's exporter writes them, with a network of one layer."""
    import tensorflow as tf

    anchors, classes = 16, 3
    signature = build_detector._operator_signature(
        "TFLite_Detection_PostProcess", {**build_detector.POST_PROCESS, "num_classes": classes}
    )
    rng = np.random.default_rng(0)
    kernel = tf.constant(rng.normal(0, 0.1, (16, 16, 3, 4 + classes + 1)).astype(np.float32))

    @tf.function(experimental_implements=signature)
    def post_process(box_encodings, class_scores, anchors):
        rows = build_detector.POST_PROCESS["max_detections"]
        return tf.zeros([1, rows, 4]), tf.zeros([1, rows]), tf.zeros([1, rows]), tf.zeros([1])

    @tf.function(input_signature=[tf.TensorSpec([1, 64, 64, 3], tf.float32, name="input")])
    def detect(image):
        raw = tf.reshape(tf.nn.conv2d(image, kernel, 16, "VALID"), [1, anchors, 4 + classes + 1])
        boxes = tf.constant(rng.uniform(0.2, 0.8, (anchors, 4)).astype(np.float32))
        boxes, labels, scores, count = post_process(raw[..., :4], tf.sigmoid(raw[..., 4:]), boxes)
        return {"detection_boxes": boxes, "detection_classes": labels, "detection_scores": scores, "num": count}

    module = tf.Module()
    module.detect = detect
    tf.saved_model.save(module, str(folder), signatures={"serving_default": detect})


def test_a_network_of_the_object_detection_library_becomes_a_detector(tmp_path):
    saved, pictures, labels = tmp_path / "saved_model", tmp_path / "pictures", tmp_path / "labels.txt"
    made_detector(saved)
    pictures.mkdir()
    rng = np.random.default_rng(2)
    for number in range(4):
        cv2.imwrite(str(pictures / f"{number}.png"), rng.integers(0, 200, (80, 90, 3)).astype(np.uint8))
    labels.write_text("0 person\n1 dog\n2 apple\n")
    parser = argparse.ArgumentParser()
    build_detector.add_arguments(parser)
    build_detector.run(
        parser.parse_args(
            [
                "--out",
                str(tmp_path / "out"),
                "--saved-model",
                str(saved),
                "--labels",
                str(labels),
                "--calibrate",
                str(pictures),
                "--name",
                "mine",
            ]
        )
    )
    model = tflite_file.read(tmp_path / "out" / "mine.tflite")
    assert model.operators[-1] == "TFLite_Detection_PostProcess"
    assert [one.name for one in model.outputs] == [
        f"TFLite_Detection_PostProcess{suffix}" for suffix in ("", ":1", ":2", ":3")
    ]
    assert (model.inputs[0].shape, model.inputs[0].element) == ((1, 64, 64, 3), "uint8")
    assert model.inputs[0].scale == pytest.approx(2 / 255, rel=1e-5)
    assert (tmp_path / "out" / "mine_labels.txt").read_text() == labels.read_text()


def test_a_checkpoint_without_the_library_says_what_to_run(tmp_path):
    (tmp_path / "pipeline.config").write_text("model {}")
    with pytest.raises(UserError, match="export_tflite_graph_tf2.*--saved-model"):
        build_detector.export_checkpoint(tmp_path, tmp_path)


def test_what_the_converter_says_is_shown_only_where_it_fails(capfd):
    from andon_models import export

    with export.quietly():
        os.write(1, b"for its authors")
    assert capfd.readouterr() == ("", "")
    with pytest.raises(ValueError, match="x"), export.quietly():
        os.write(1, b"for its authors")
        raise ValueError("x")
    assert "for its authors" in capfd.readouterr().err


def test_a_stage_counts_its_own_epochs_before_it_ends_early(tmp_path):
    from andon_models import checkpoint, network

    net, data, _ = network_of(6)
    # Cut after one epoch of the second stage, which was worse, as two of the first had been.
    stages = [network.Stage("first", 4, 3, 1e-3), network.Stage("second", 3, 4, 0.0)]
    history = net.train(data, data, stages[:1], [1.0, 1.0], 9, tmp_path / "a.npz", lambda _: None)
    state, arrays = checkpoint.load(tmp_path / "a.npz")
    epochs = [{**epoch, "validation_loss": 0.0 if index == 0 else 9.0} for index, epoch in enumerate(history.epochs)]
    said = []
    checkpoint.save(tmp_path / "b.npz", {**state, "epochs": epochs, "best": 0}, arrays)
    resumed = net.train(data, data, stages, [1.0, 1.0], 2, tmp_path / "b.npz", said.append)
    assert len(resumed.epochs) == 5  # two of the second stage, and then no more
    assert any("second: nothing better in 2 epochs" in text for text in said)


def test_weights_of_classes_that_do_not_exist_are_refused():
    assert train_classifier.class_weights(["b=2.5"], ["a", "b"]) == [1.0, 2.5]
    for given in ("c=1", "b", "b=0", "b=x"):
        with pytest.raises(UserError, match="CLASS=WEIGHT"):
            train_classifier.class_weights([given], ["a", "b"])
    assert dataset.painted_class(None, ["fresh", "rotten_x"]) == 1
    assert dataset.painted_class("none", ["fresh", "rotten_x"]) is None
    with pytest.raises(UserError, match="the classes are"):
        dataset.painted_class("mouldy", ["fresh", "rotten_x"])


def test_the_estimate_of_the_chips_memory_covers_what_is_known():
    # File and on-chip plus streamed bytes of models for which both are known; the last two are the extremes.
    for file, parameters in (
        (525_598, 566_912),
        (1_392_846, 1_473_280),
        (3_577_952, 3_900_864),
        (3_221_568, 2_496_832 + 598_080),
        (3_531_296, 3_900_864),
    ):
        assert parameters <= card.ON_CHIP_SHARE_MAX * file
