import argparse
import json
import stat
import sys
import textwrap
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import part

from andon_models import evaluate, mean_average_precision, sources
from andon_models.errors import UserError
from andon_models.mean_average_precision import Annotations
from andon_models.runners import Box

FAKE_ANDON = '''
#!{python}
"""Stands in for `andon infer`: dark pictures are `bolt`; every picture shows one person."""
import json, sys
import cv2
arguments = sys.argv[1:]
assert arguments[:2] == ["infer", "--json"], arguments
pictures = open(arguments[arguments.index("--list") + 1]).read().splitlines()
print(json.dumps({{"type": "header", "model": "m", "engine": "CPU, fake", "labels": ["gear", "bolt"]}}))
for picture in pictures[:{answers}]:
    dark = cv2.imread(picture).mean() < 100
    row = {{"image": picture, "inference_ms": 1.5, "scores": [0.25, 0.75] if dark else [0.75, 0.25],
           "detections": [{{"label": "person", "score": 0.9, "box": [0.25, 0.25, 0.5, 0.75]}}]}}
    print(json.dumps(row))
'''


@pytest.fixture
def andon(tmp_path) -> Path:
    return fake_andon(tmp_path)


def fake_andon(tmp_path, answers="None") -> Path:
    path = tmp_path / "andon"
    path.write_text(textwrap.dedent(FAKE_ANDON).strip().format(python=sys.executable, answers=answers) + "\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def pictures(tmp_path) -> Path:
    folder = tmp_path / "pictures"
    for name, levels in (("bolt", (20, 30, 40, 200)), ("gear", (210, 220))):
        (folder / name).mkdir(parents=True)
        for number, level in enumerate(levels):
            cv2.imwrite(str(folder / name / f"{number}.png"), np.full((16, 16, 3), level, np.uint8))
    return folder


def options(**more) -> argparse.Namespace:
    base = {
        "model": "m",
        "data": None,
        "split": None,
        "role": "test",
        "against": None,
        "coco": None,
        "images": None,
        "threshold": 0.1,
        "engine": "andon",
        "andon": None,
        "option": [],
        "labels": None,
        "json": None,
    }
    return argparse.Namespace(**{**base, **more})


def test_a_classifier_is_measured_through_the_product(andon, pictures, tmp_path, capsys):
    evaluate.run(options(data=pictures, andon=andon, json=tmp_path / "found.json"))
    found = json.loads((tmp_path / "found.json").read_text())
    # The model's own order of labels, not the folders'.
    assert found["confusion"] == [[2, 0], [1, 3]]
    assert found["right"]["value"] == pytest.approx(5 / 6)
    assert found["milliseconds"] == 1.5
    assert "CPU, fake" in capsys.readouterr().out


def test_only_the_files_of_a_role_are_shown(andon, pictures, tmp_path):
    split = tmp_path / "split.json"
    rows = [
        {
            "sha256": sources.sha256_of(path),
            "class": path.parent.name,
            "photograph": 1,
            "role": "test" if path.stem == "0" else "train",
        }
        for path in pictures.glob("*/*")
    ]
    split.write_text(json.dumps(rows))
    found = evaluate.classifier(options(data=pictures, andon=andon, split=split))
    assert found["pictures"] == 2
    with pytest.raises(UserError, match="role validation"):
        evaluate.classifier(options(data=pictures, andon=andon, split=split, role="validation"))


def test_drawn_pictures_of_one_photograph_are_one_case(andon, tmp_path):
    folder = tmp_path / "drawn"
    for name in ("bolt", "gear"):
        (folder / name).mkdir(parents=True)
        for number in range(8):
            cv2.imwrite(str(folder / name / f"{number % 2:05d}-{number:05d}.png"), np.zeros((8, 8, 3), np.uint8))
    found = evaluate.classifier(options(data=folder, andon=andon))
    (_, bolt) = found["classes"]
    assert bolt["recall"]["count"] == 8
    assert bolt["recall"]["low"] < 0.4  # two cases, not eight


def test_pictures_that_are_named_by_their_date_are_not_one_photograph(andon, tmp_path):
    folder = tmp_path / "dated"
    (folder / "bolt").mkdir(parents=True)
    for number in range(8):
        cv2.imwrite(str(folder / "bolt" / f"20261129-{number:06d}.jpg"), np.zeros((8, 8, 3), np.uint8))
    found = evaluate.classifier(options(data=folder, andon=andon))
    assert found["right"]["low"] > 0.6  # eight cases, not one


def test_formats_that_the_product_does_not_read_are_shown_as_copies(andon, tmp_path):
    folder = tmp_path / "formats"
    (folder / "bolt").mkdir(parents=True)
    for suffix in ("bmp", "webp", "tif", "png"):
        cv2.imwrite(str(folder / "bolt" / f"dark.{suffix}"), np.zeros((8, 8, 3), np.uint8))
    found = evaluate.classifier(options(data=folder, andon=andon))
    assert (found["pictures"], found["right"]["value"]) == (4, 1.0)


def test_pictures_that_the_model_was_trained_on_are_counted_aloud(andon, pictures, tmp_path, capsys):
    model = tmp_path / "made.tflite"
    model.write_bytes(b"any")
    rows = [
        {"sha256": sources.sha256_of(path), "class": path.parent.name, "photograph": 1, "role": role}
        for path, role in zip(sorted(pictures.glob("*/*")), ["train", "validation", *["test"] * 4], strict=True)
    ]
    (tmp_path / "split.json").write_text(json.dumps(rows))
    found = evaluate.classifier(options(model=str(model), data=pictures, andon=andon))
    assert found["pictures_trained_on"] == 2
    assert "WARNING: by the split.json beside it, 2 of these" in capsys.readouterr().out
    found = evaluate.classifier(options(model=str(model), data=pictures, andon=andon, split=tmp_path / "split.json"))
    assert (found["pictures"], found["pictures_trained_on"]) == (4, 0)
    (tmp_path / "split.json").write_text("{}")
    with pytest.raises(UserError, match=r"no split\.json"):
        evaluate.classifier(options(data=pictures, andon=andon, split=tmp_path / "split.json"))


def test_folders_that_the_model_does_not_know_are_named(andon, pictures):
    (pictures / "gear").rename(pictures / "wheel")
    with pytest.raises(UserError, match=r"does not know wheel; it knows gear, bolt"):
        evaluate.classifier(options(data=pictures, andon=andon))


def test_answers_that_are_missing_are_an_error(tmp_path, pictures):
    with pytest.raises(UserError, match="answered 3 of 6"):
        evaluate.classifier(options(data=pictures, andon=fake_andon(tmp_path, answers="3")))


def test_a_binary_that_is_not_there_is_said(pictures, tmp_path):
    with pytest.raises(UserError, match="cargo build"):
        evaluate.classifier(options(data=pictures, andon=tmp_path / "nothing"))


def annotations(tmp_path, boxes, name="person") -> Path:
    for number in range(len(boxes)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), part("gear", number))
    content = {
        "images": [
            {"id": number + 1, "file_name": f"{number}.png", "width": 160, "height": 160}
            for number in range(len(boxes))
        ],
        "categories": [{"id": 1, "name": name}],
        "annotations": [{"image_id": number + 1, "category_id": 1, "bbox": box} for number, box in enumerate(boxes)],
    }
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(content))
    return path


def test_detections_on_the_spot_have_full_precision(tmp_path, andon, capsys):
    path = annotations(tmp_path, [[40, 40, 40, 80]] * 3)
    found = evaluate.detector(options(coco=path, andon=andon))
    assert found["measures"]["mAP"] == pytest.approx(1.0)
    assert found["measures"]["AP small"] is None
    assert "mAP of person" in capsys.readouterr().out


def test_misplaced_boxes_and_missed_objects_cost_precision(tmp_path):
    truth = Annotations.read(annotations(tmp_path, [[40, 40, 40, 80]] * 4), None)
    near = Box("person", 0.9, (40 / 160, 48 / 160, 80 / 160, 128 / 160))  # IoU 72 / 88 = 0.818
    found = mean_average_precision.measure(truth, [[near], [near], [], []])
    # Half of the objects, at the seven of ten IoU from 0.5 to 0.8: recall 0.5 is reached in 51 of 101 steps.
    assert found["measures"]["mAP"] == pytest.approx(0.7 * 51 / 101, abs=1e-6)
    assert found["measures"]["AP at IoU 0.5"] == pytest.approx(51 / 101, abs=1e-6)


def test_no_detection_and_foreign_labels_are_zero_not_a_crash(tmp_path):
    truth = Annotations.read(annotations(tmp_path, [[40, 40, 40, 80]]), None)
    assert mean_average_precision.measure(truth, [[]])["measures"]["mAP"] == 0
    found = mean_average_precision.measure(truth, [[Box("dog", 0.9, (0, 0, 1, 1))]])
    assert (found["boxes"], found["boxes_of_other_labels"]) == (0, 1)


@pytest.mark.parametrize("text", ["", "{}", '{"images": [{"id": 1}]}', "[]"])
def test_annotations_in_another_form_are_said(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"a\.json"):
        Annotations.read(path, None)


def test_labels_may_be_numbered_or_plain(tmp_path):
    numbered, plain = tmp_path / "a.txt", tmp_path / "b.txt"
    numbered.write_text("0 fresh apple\n2 rotten\n")
    plain.write_text("fresh\nrotten\n")
    assert evaluate.read_labels(numbered) == ["fresh apple", "?", "rotten"]
    assert evaluate.read_labels(plain) == ["fresh", "rotten"]


def test_labels_are_looked_for_where_the_product_looks(tmp_path):
    models = Path(__file__).parent.parent
    found = evaluate.labels_beside(models / "classifier_apple_224_int8.tflite")
    assert evaluate.read_labels(found) == ["fresh_apple", "rotten_apple"]
    (tmp_path / "mine_labels.txt").write_text("0 a\n1 b\n")
    assert evaluate.labels_beside(tmp_path / "mine.keras").name == "mine_labels.txt"
    with pytest.raises(UserError, match="--labels"):
        evaluate.labels_beside(tmp_path / "other.tflite")
