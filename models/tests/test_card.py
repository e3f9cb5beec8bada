import argparse
import dataclasses
import json
import shutil
import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest

from andon_models import calibration, card, choosing_table, plots, sources
from andon_models.errors import UserError

MODELS = Path(__file__).parent.parent
CLASSES = ["fresh_apple", "rotten_apple"]


def summary(out: Path) -> card.Summary:
    shutil.copyfile(MODELS / "classifier_apple_224_int8.tflite", out / "apples.tflite")
    shutil.copyfile(MODELS / "apple_labels.txt", out / "apples_labels.txt")
    scores = np.array([[0.9, 0.1], [0.3, 0.7], [0.8, 0.2], [0.1, 0.9]])
    labels = np.array([0, 1, 1, 1])
    split = {
        role: {name: {"files": 4, "photographs": 2} for name in CLASSES} for role in ("train", "validation", "test")
    }
    test = card.TestFigures.of(labels, scores, scores, CLASSES, np.array([1, 2, 3, 3]))
    epoch = {"stage": "first", "loss": 0.5, "accuracy": 0.8, "validation_loss": 0.6, "validation_accuracy": 0.7}
    model = card.Model(
        name="apples",
        labels="apples_labels.txt",
        base="none",
        seed=7,
        epochs=[epoch, {**epoch, "stage": "second"}],
        best=1,
        temperature=0.8,
        error_before=0.2,
        validation=calibration.Scored(scores, labels, np.array([1, 2, 3, 3])),
        model_bytes=(out / "apples.tflite").stat().st_size,
    )
    return card.Summary(
        model=model,
        classes=CLASSES,
        data="apples",
        notes=["a note"],
        split=split,
        leaks=1,
        leak_bits=24,
        tests={"as photographed": test},
        scored=calibration.Scored(scores[::-1], labels, np.array([4, 5, 6, 7])),
    )


def test_the_card_says_what_was_measured(tmp_path):
    card.write(summary(tmp_path), tmp_path)
    text = (tmp_path / "model-card.md").read_text()
    assert "4 pictures of 3 photographs. Right: int8 0.750" in text
    assert "| rotten_apple | 3 | 0.667 (" in text
    assert "**Note.** a note." in text
    # Of the scores 0.9, 0.7, 0.8 and 0.9 those of 0.8 and more; on the validation pictures, on the test pictures.
    assert "| 0.80 | 0.667 (0.16 to 0.95) | 75.0% | 0.000 (0.00 to 0.56) | 75.0% |" in text
    assert "| **0.81** | 1.000 (0.34 to 1.00) | 50.0% | 0.000 (0.00 to 0.66) | 50.0% |" in text
    assert "0.200 on the validation pictures before its logits were divided by 0.80" in text
    assert json.loads((tmp_path / "figures.json").read_text())["tests"]["as photographed"]["confusion_int8"] == [
        [1, 0],
        [1, 2],
    ]


def test_a_model_that_may_be_guessing_is_said_to_be_no_good(tmp_path):
    found = summary(tmp_path)
    assert [doubt.split(":")[0] for doubt in card.doubts(found)] == CLASSES  # one photograph each: nobody knows
    assert card.closing(found, tmp_path).count("NOT GOOD ENOUGH TO BE USED") == 2
    assert "**Not good enough to be used.** rotten_apple: recall 0.667 (" in card.text(found)

    labels = np.repeat([0, 1], 40)
    scores = np.where(labels[:, None] == [0, 1], 0.9, 0.1)
    scores[40:46] = [0.8, 0.2]  # 34 of 40 rotten ones are found
    good = card.TestFigures.of(labels, scores, None, CLASSES, np.arange(80))
    assert card.doubts(dataclasses.replace(found, tests={"belt": good})) == []
    scores[46:60] = [0.8, 0.2]  # 20 of 40
    worse = card.TestFigures.of(labels, scores, None, CLASSES, np.arange(80))
    (doubt,) = card.doubts(dataclasses.replace(found, tests={"belt": good, "dark": worse}))
    assert doubt.startswith("rotten_apple: recall 0.500 (0.35 to 0.65) in the test 'dark'")


def test_the_card_of_a_model_that_was_there_says_nothing_of_training(tmp_path):
    found = summary(tmp_path)
    (title, test), *_ = found.tests.items()
    test = dataclasses.replace(test, float32=None, accuracy_float32=None, agreement=None)
    bare = dataclasses.replace(found, model=dataclasses.replace(found.model, epochs=[]), tests={title: test})
    text = card.text(bare)
    assert "training.png" not in text
    assert "float and int8 agree" not in text
    assert "| fresh_apple | 1 | 1.000 (0.21 to 1.00) | 0.500 (0.09 to 0.91) | – |" in text


def test_the_entry_is_what_models_toml_lists(tmp_path):
    card.write(summary(tmp_path), tmp_path)
    listed = tomllib.loads((tmp_path / "models.toml").read_text())
    shipped = tomllib.loads((MODELS / "models.toml").read_text())
    (model,) = listed["model"]
    (known,) = [one for one in shipped["model"] if one["task"] == "classification"]
    assert listed["schema"] == shipped["schema"]
    assert set(known) <= set(model) | {"tpu"}
    for key in ("task", "bytes", "sha256", "input"):
        assert model[key] == known[key]
    assert model["labels"]["sha256"] == known["labels"]["sha256"]
    assert {key: model["output"][0][key] for key in ("role", "shape", "dtype")} == {
        "role": "probabilities",
        "shape": [1, 2],
        "dtype": "uint8",
    }
    assert model["accuracy"]["value"] == 0.75
    figure = model["figure"][1]
    assert (figure["metric"], figure["count"]) == ("recall rotten_apple", 3)
    assert figure["low"] < figure["value"] < figure["high"]


def test_the_shipped_list_names_the_shipped_files():
    for model in tomllib.loads((MODELS / "models.toml").read_text())["model"]:
        for entry in (model, model["labels"]):
            assert sources.sha256_of(MODELS / entry["file"]) == entry["sha256"]
        assert (MODELS / model["file"]).stat().st_size == model["bytes"]


def test_the_pictures_of_the_card_are_drawn(tmp_path):
    found = summary(tmp_path)
    mistakes = [plots.Mistake(np.full((60, 40, 3), 90, np.uint8), "rotten", "fresh", 0.9, "belt", "1.jpg")] * 30
    plots.curves(found.model.epochs, 1, tmp_path / "training.png")
    plots.confusion({"belt": np.eye(2, dtype=int), "dark": np.eye(2, dtype=int)}, CLASSES, tmp_path / "confusion.png")
    plots.calibration(found.model.validation, found.scored, found.model.threshold, tmp_path / "calibration.png")
    plots.contact_sheet(mistakes, tmp_path / "mistakes.png")
    plots.contact_sheet([], tmp_path / "none.png")
    for name in ("training", "confusion", "calibration", "mistakes", "none"):
        assert cv2.imread(str(tmp_path / f"{name}.png")).std() > 1, name
    sheet = cv2.imread(str(tmp_path / "mistakes.png"))
    assert sheet.shape[0] == plots.HEAD + plots.SHEET_ROWS * (plots.CELL + plots.CAPTION)


def test_labels_of_any_letters_are_drawn_and_not_replaced(tmp_path):
    def sheet(said: str) -> np.ndarray:
        plots.contact_sheet(
            [plots.Mistake(np.zeros((9, 9, 3), np.uint8), "a", said, 0.9, "b", "1.jpg")], tmp_path / "m.png"
        )
        return cv2.imread(str(tmp_path / "m.png"))

    assert (sheet("schön") != sheet("sch?n")).any()
    assert sheet("x" * 300).shape == sheet("x").shape


def test_names_that_are_no_bare_words_stay_whole_in_toml_and_markdown(tmp_path):
    names = ['good part "A"', "Größe|2"]
    found = summary(tmp_path)
    test = found.tests["as photographed"]
    renamed = [dataclasses.replace(one, name=name) for one, name in zip(test.int8, names, strict=True)]
    found = dataclasses.replace(
        found,
        classes=names,
        data='parts\\"1"',
        tests={"as photographed": dataclasses.replace(test, int8=renamed)},
        split={role: dict(zip(names, table.values(), strict=True)) for role, table in found.split.items()},
    )
    closing = card.closing(found, tmp_path)
    keys = tomllib.loads(closing[closing.index("[models]") :])["visual_inspection"]["grades"]
    assert keys == {names[0]: "good", names[1]: "reject"}
    listed = tomllib.loads("schema = 1\n" + card.entry(found, tmp_path))["model"][0]
    assert listed["training_set"].startswith('parts\\"1", ')
    assert listed["figure"][1]["metric"] == "recall Größe|2"
    assert "| Größe\\|2 | 3 |" in card.text(found)


def choosing_figures() -> dict:
    model = {
        "name": "a",
        "task": "detection",
        "training_set": "COCO",
        "input": [240, 300],
        "bytes": 5_343_248,
        "on_chip": {"bytes": 5_770_708, "streamed_bytes": 0, "estimate": True},
        "cpu": [{"threads": 1, "p50_ms": 4.41}, {"threads": 2, "p50_ms": 2.9}],
        "cpu_reason": None,
        "tpu": {"ms": 7.3, "published": True, "source": "a page"},
        "accuracy": {"set": "belt", "metric": "recall", "value": 0.95, "low": 0.9, "high": 0.97, "count": 12},
    }
    bare = {**model, "name": "b", "training_set": None, "cpu": [], "cpu_reason": "compiled", "tpu": None}
    bare |= {"accuracy": None, "on_chip": {"bytes": 1 << 20, "streamed_bytes": 1 << 19, "estimate": False}}
    pair = {
        "detector": "a",
        "classifier": "b",
        "on_chip": model["on_chip"],
        "fits": "apart",
        "room_bytes": 8_000_000,
        "inferences_per_second": 60.0,
        "cpu_load": {"share": 0.42},
        "tpu_load": None,
    }
    cameras = [{"fps": 10.0, "assumed": False}, {"fps": 30.0, "assumed": True}]
    return {"engine": "CPU", "cameras": cameras, "crops_per_frame": 1.0, "models": [model, bare], "pairs": [pair]}


def test_the_choosing_table_says_what_was_measured_and_what_was_not():
    figures = choosing_figures()
    model, bare = figures["models"]
    assert choosing_table.model_text(model) == "a\nCOCO\n300×240, 5.3 MB, ~5.50 MiB on chip"
    assert choosing_table.model_text(bare).endswith("1.00 + 0.50 streamed MiB on chip")
    assert choosing_table.accuracy_text(model["accuracy"]) == "0.950 recall (0.90 to 0.97)\nbelt, n 12"
    assert choosing_table.accuracy_text(None) == "not stated"
    (pair,) = figures["pairs"]
    assert choosing_table.pair_text(pair) == (
        "~5.50 MiB: compiled apart\n60 inferences/s: 42 % of a CPU core, – of an Edge TPU"
    )
    small = "\n".join(choosing_table.notes(figures))
    assert "10 and 30 (assumed) frames per second" in small
    assert "a: a page" in small


def test_the_choosing_table_is_drawn(tmp_path):
    figures = choosing_figures()
    choosing_table.draw(figures, tmp_path / "a.png")
    assert cv2.imread(str(tmp_path / "a.png")).std() > 1
    (tmp_path / "f.json").write_text(json.dumps({"models": 3}))
    with pytest.raises(UserError, match="not the figures"):
        choosing_table.run(argparse.Namespace(figures=tmp_path / "f.json", png=tmp_path / "b.png"))
    choosing_table.draw({**figures, "models": [], "pairs": []}, tmp_path / "none.png")
