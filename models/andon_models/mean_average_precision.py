"""Mean average precision of detections against annotated frames, by COCO's own measure (pycocotools)."""

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from .errors import UserError
from .runners import Box

# Positions in COCOeval.stats.
MEASURES = {
    "mAP": 0,
    "AP at IoU 0.5": 1,
    "AP at IoU 0.75": 2,
    "AP small": 3,
    "AP medium": 4,
    "AP large": 5,
    "recall, 100 boxes": 8,
}


@dataclass(frozen=True)
class Annotations:
    """Frames with their ids, and what is annotated on them."""

    pictures: list[tuple[int, Path]]
    sizes: list[tuple[int, int]]  # width, height
    categories: dict[str, int]
    content: dict

    @property
    def objects(self) -> int:
        """Number of annotated objects."""
        return len(self.content["annotations"])

    @staticmethod
    def read(path: Path, folder: Path | None) -> "Annotations":
        """Reads a file in COCO's format; pictures lie in `folder`, or beside the file."""
        try:
            content = json.loads(path.read_text())
            frames = content["images"]
            pictures = [(int(one["id"]), (folder or path.parent) / one["file_name"]) for one in frames]
            sizes = [(int(one["width"]), int(one["height"])) for one in frames]
            categories = {one["name"]: int(one["id"]) for one in content["categories"]}
            for number, one in enumerate(content["annotations"], 1):
                one.setdefault("id", number)
                one.setdefault("iscrowd", 0)
                one.setdefault("area", one["bbox"][2] * one["bbox"][3])
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise UserError(f"{path} is no file of annotations in COCO's format: {error!r}") from error
        missing = [str(one) for _, one in pictures if not one.is_file()]
        if missing or not pictures:
            raise UserError(f"{path}: {len(missing)} of {len(pictures)} pictures are missing: {missing[:3]}")
        return Annotations(pictures, sizes, categories, content)


def measure(truth: Annotations, boxes: list[list[Box]]) -> dict:
    """COCO's measures over the annotated categories. Labels without a category are left out and counted."""
    results, foreign = [], 0
    for (number, _), (width, height), found in zip(truth.pictures, truth.sizes, boxes, strict=True):
        for box in found:
            category = truth.categories.get(box.label)
            if category is None:
                foreign += 1
                continue
            x0, y0, x1, y1 = box.corners
            corner_and_size = [x0 * width, y0 * height, (x1 - x0) * width, (y1 - y0) * height]
            results.append({"image_id": number, "category_id": category, "bbox": corner_and_size, "score": box.score})
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO()
        reference.dataset = truth.content
        reference.createIndex()
        evaluation = COCOeval(reference, reference.loadRes(results) if results else _nothing(truth), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    # -1 is COCO's word for "no such object annotated".
    measures = {
        name: (float(evaluation.stats[at]) if evaluation.stats[at] >= 0 else None) for name, at in MEASURES.items()
    }
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # [IoU, recall, category], all sizes, 100 boxes
    by_category = {}
    names = {number: name for name, number in truth.categories.items()}
    for position, number in enumerate(evaluation.params.catIds):
        values = precision[:, :, position]
        values = values[values >= 0]
        by_category[names[number]] = float(np.mean(values)) if len(values) else None
    return {"measures": measures, "by_category": by_category, "boxes": len(results), "boxes_of_other_labels": foreign}


def table(found: dict) -> str:
    """The measures as text."""
    lines = [f"{name:22} {_number(value)}" for name, value in found["measures"].items()]
    shown = [(name, value) for name, value in found["by_category"].items() if value is not None]
    lines += [
        "",
        *(f"mAP of {name:15} {_number(value)}" for name, value in shown),
        "",
        f"{found['boxes']} boxes; {found['boxes_of_other_labels']} of labels that are not annotated were left out",
    ]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _nothing(truth: Annotations) -> COCO:
    empty = COCO()
    empty.dataset = {**truth.content, "annotations": []}
    empty.createIndex()
    return empty
