"""A folder of photographs made ready: split, checked for leakage, and planned into training and test pictures."""

import argparse
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from . import leakage, photographs, samples, scenes, sources
from .errors import UserError

VALIDATION_SHARE, TEST_SHARE = 0.12, 0.25
SCENE_KINDS = ("belt", "dark", "wood", "picture")  # the changed backgrounds of the test
PHOTOGRAPHS = "as photographed"
PAINTED = "painted blemishes"


@dataclass(frozen=True)
class TestSet:
    """Pictures never trained on, with their classes and photographs."""

    inputs: np.ndarray
    labels: np.ndarray
    photographs: np.ndarray
    files: list[photographs.File]


@dataclass(frozen=True)
class Dataset:
    """What lies in the folder, who plays which role, and what to draw of it."""

    classes: list[str]
    files: list[photographs.File]
    roles: photographs.Split
    notes: list[str]
    leaks: int
    plans: dict[str, list[samples.Planned]]
    backgrounds: scenes.Backgrounds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that decide what is drawn."""
    parser.add_argument("--data", type=Path, required=True, help="one folder of photographs per class")
    parser.add_argument("--out", type=Path, required=True, help="folder for the card, its plots, and what is made")
    parser.add_argument("--samples", type=int, default=8000, help="training pictures drawn [8000]")
    parser.add_argument(
        "--painted-class",
        help="class that painted blemishes make of the others, or `none` [the one whose name begins with rotten]",
    )
    parser.add_argument(
        "--no-copies",
        action="store_true",
        help="every file is a photograph of its own: do not look for copies (parts that are all alike, in one place)",
    )
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--workers", type=int, help="processes that draw pictures [one per core]")


def prepare(
    arguments: argparse.Namespace,
    files: list[photographs.File],
    classes: list[str],
    notes: list[str],
    work: Path,
    earlier: Path | None = None,
) -> Dataset:
    """Splits, checks and plans. What was found out about copies is kept in `work`.

    `notes` are those of reading the files. `earlier` is the split of a training whose result is gone on from or
    measured: its photographs keep their roles.
    """
    blemished = painted_class(arguments.painted_class, classes)
    found = photographs_of(files, classes, arguments.no_copies, work)
    roles, leaks, split_notes = divide(files, classes, arguments.seed, found, earlier)
    notes = [*notes, *found.notes, *split_notes]
    for note in notes:
        print(f"note: {note}", flush=True)
    backgrounds, background_note = read_backgrounds(files)
    plans = make_plans(roles, len(classes), arguments.samples, blemished, arguments.seed)
    return Dataset(classes, files, roles, notes + background_note, len(leaks), plans, backgrounds)


def painted_class(given: str | None, classes: list[str]) -> int | None:
    """Number of the class that painted blemishes make of the others, if there is one."""
    if given is None:
        return next((number for number, name in enumerate(classes) if name.startswith("rotten")), None)
    if given != "none" and given not in classes:
        raise UserError(f"--painted-class {given}: the classes are {', '.join(classes)}; or `none`")
    return None if given == "none" else classes.index(given)


def photographs_of(files: list[photographs.File], classes: list[str], no_copies: bool, work: Path) -> photographs.Found:
    """Numbers the photographs. What was found is kept in `work`, where it is looked up after a cut."""
    kept = work / "photographs.json"
    if kept.exists():
        known = json.loads(kept.read_text())
        for file, number in zip(files, known["numbers"], strict=True):
            file.photograph = number
        return photographs.Found(known["notes"], known["bits_max"])
    print(f"{len(files)} pictures of {len(classes)} classes; looking for copies", flush=True)
    found = (photographs.every_file if no_copies else photographs.find_photographs)(files, classes)
    numbers = [file.photograph for file in files]
    content = json.dumps({"notes": found.notes, "bits_max": found.bits_max, "numbers": numbers})
    partial = kept.with_suffix(".partial")
    partial.write_text(content)
    partial.replace(kept)
    return found


def divide(
    files: list[photographs.File],
    classes: list[str],
    seed: int,
    found: photographs.Found,
    earlier: Path | None = None,
) -> tuple[photographs.Split, list[leakage.Leak], list[str]]:
    """Deals the photographs out and checks that none is on two sides; with what a reader should know of it."""
    known = earlier_roles(files, earlier) if earlier else {}
    roles = photographs.split(files, seed, VALIDATION_SHARE, TEST_SHARE, known)
    leaks = leakage.repair(roles, found.bits_max)
    for leak in leaks:
        print(f"leak: {leak.held_out.path} and {leak.other.path} differ in {leak.bits} bits: moved to training")
    for label, name in enumerate(classes):
        for role in leakage.ROLES:
            if not any(file.label == label for file in getattr(roles, role)):
                raise UserError(f"{name}: no photograph is left for {role}; more different photographs are needed")
    for role, table in describe(roles, classes).items():
        print(
            f"{role:10} "
            + ", ".join(
                f"{name}: {own['photographs']} photographs ({own['files']} files)" for name, own in table.items()
            )
        )
    notes = []
    shared = photographs.in_several_classes(files)
    if shared:
        one, *_ = shared
        first = one[0]
        other = next(file for file in one if file.label != first.label)
        notes.append(
            f"{len(shared)} photographs seem to lie in more than one class folder, such as {classes[first.label]}/"
            f"{first.path.name} and {classes[other.label]}/{other.path.name}. They teach both and test none. Look at "
            "them: one that does lie in both is to be sorted; if most are different parts that are alike, train with "
            "--no-copies"
        )
    if known:
        notes.append(f"{len(known)} photographs keep the role that they had in {earlier}")
    return roles, leaks, notes


def earlier_roles(files: list[photographs.File], split: Path) -> dict[int, str]:
    """The role that an earlier training's split gave to each photograph; what it saw once, it saw."""
    order = {role: position for position, role in enumerate(leakage.ROLES)}
    role_of_file = {row["sha256"]: row["role"] for row in read_split(split)}
    known: dict[int, str] = {}
    for file in files:
        role = role_of_file.get(sources.sha256_of(file.path))
        if role is not None:
            before = known.get(file.photograph, role)
            known[file.photograph] = min(role, before, key=order.__getitem__)
    return known


def read_split(path: Path) -> list[dict]:
    """The rows that `write_split` wrote."""
    try:
        rows = json.loads(path.read_text())
        if not rows or not all(
            row["role"] in leakage.ROLES and row["sha256"] and int(row["photograph"]) >= 0 for row in rows
        ):
            raise ValueError("a role that does not exist")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no split.json of a training: {error!r}") from error
    return rows


def read_backgrounds(files: list[photographs.File]) -> tuple[scenes.Backgrounds, list[str]]:
    """Pictures to set parts before, where there are parts that can be cut out and pictures to be had."""
    for file in files:
        file.mask = photographs.cut_out(file)
    cut = sum(file.mask is not None for file in files)
    print(f"{cut} of {len(files)} pictures have a plain background: their parts are cut out and set into scenes")
    if cut == 0:
        return scenes.Backgrounds([]), []
    try:
        return scenes.Backgrounds.read(sources.opencv_doc_dir()), []
    except UserError as error:
        print(f"note: no pictures for backgrounds, only drawn ones: {error}")
        return scenes.Backgrounds([]), ["backgrounds were drawn ones only: the sample pictures could not be fetched"]


def make_plans(
    roles: photographs.Split, classes: int, count: int, blemished: int | None, seed: int
) -> dict[str, list[samples.Planned]]:
    """What to draw for training, validation and each test scene."""
    plans = {
        "training": samples.training_plan(roles.train, classes, count, blemished, seed),
        "validation": samples.scene_plan(roles.validation, seed + 1, (None, None, None), vary=True),
    }
    if any(file.mask is not None for file in roles.test):
        for kind in SCENE_KINDS:
            plans[f"scene {kind}"] = samples.scene_plan(roles.test, seed + 2, (kind,), vary=False)
    else:
        plans["through a camera"] = samples.scene_plan(roles.test, seed + 2, (None,), vary=False)
    if blemished is not None:
        painted = samples.painted_plan(roles.test, blemished, seed)
        plans.update({PAINTED: painted} if painted else {})
    return plans


def test_sets(drawing: samples.Drawing, files: list[photographs.File]) -> dict[str, TestSet]:
    """The test photographs as they are and in every test scene."""
    numbers = [file.photograph for file in files]
    labels = np.array([file.label for file in files], int)
    tests = {PHOTOGRAPHS: TestSet(samples.as_photographed(files), labels, np.array(numbers, int), files)}
    for plan, planned in drawing.plans.items():
        if plan not in ("training", "validation"):
            tests[plan] = TestSet(
                drawing.draw(plan), drawing.labels(plan), drawing.photographs(plan), [one.file for one in planned]
            )
    return tests


def write_test_pictures(tests: dict[str, TestSet], classes: list[str], folder: Path) -> None:
    """The drawn test scenes as PNG, so that `andon-models evaluate` can show them to any model."""
    shutil.rmtree(folder, ignore_errors=True)
    for title, test in tests.items():
        if title == PHOTOGRAPHS:
            continue
        for index, (pixels, label, file) in enumerate(zip(test.inputs, test.labels, test.files, strict=True)):
            path = folder / title.replace(" ", "_") / classes[label] / f"{file.photograph:05d}-{index:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))


def describe(roles: photographs.Split, classes: list[str]) -> dict[str, dict[str, dict[str, int]]]:
    """Files and photographs per role and class."""
    table: dict[str, dict[str, dict[str, int]]] = {}
    for role in leakage.ROLES:
        table[role] = {}
        for label, name in enumerate(classes):
            own = [file for file in getattr(roles, role) if file.label == label]
            table[role][name] = {"files": len(own), "photographs": photographs.count(own)}
    return table


def write_split(path: Path, roles: photographs.Split, classes: list[str]) -> None:
    """Which file has which role: by its SHA-256, so that the same test can be made again from any copy of the data."""
    rows = [
        {
            "sha256": sources.sha256_of(file.path),
            "class": classes[file.label],
            "photograph": file.photograph,
            "role": role,
        }
        for role in leakage.ROLES
        for file in getattr(roles, role)
    ]
    path.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
