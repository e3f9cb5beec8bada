import cv2
import numpy as np
import pytest
from conftest import CLASSES, part

from andon_models import leakage, photographs
from andon_models.errors import UserError
from andon_models.photographs import File, Split


def scene(number: int) -> np.ndarray:
    """A picture full of details, another one for every number."""
    rng = np.random.default_rng(number)
    coarse = rng.integers(0, 255, (24, 24, 3)).astype(np.uint8)
    return cv2.resize(coarse, (160, 160), interpolation=cv2.INTER_CUBIC)


def turned(picture: np.ndarray, degrees: float) -> np.ndarray:
    turn = cv2.getRotationMatrix2D((79.5, 79.5), degrees, 1.0)
    return cv2.warpAffine(picture, turn, (160, 160), borderMode=cv2.BORDER_REFLECT)


def files_of(pictures: list[tuple[int, np.ndarray]], folder) -> list[File]:
    return [File(folder / f"{index}.png", label, pixels) for index, (label, pixels) in enumerate(pictures)]


def test_turned_mirrored_and_noisy_copies_are_one_photograph(tmp_path):
    originals = [(0, scene(number)) for number in range(6)] + [(1, scene(number)) for number in range(10, 16)]
    noisy = scene(1).astype(np.int16) + np.random.default_rng(1).integers(-20, 20, (160, 160, 3))
    copies = [(0, turned(scene(0), 45)), (0, scene(0)[:, ::-1].copy()), (0, np.clip(noisy, 0, 255).astype(np.uint8))]
    files = files_of(originals + copies, tmp_path)
    assert photographs.find_photographs(files, ["one", "two"]) == []
    numbers = [file.photograph for file in files]
    assert len(set(numbers[:12])) == 12
    assert numbers[12] == numbers[13] == numbers[0]
    assert numbers[14] == numbers[1]


def test_no_photograph_is_in_two_roles_and_every_class_is_in_all(tmp_path):
    files = files_of([(label, scene(0)) for label in range(3) for _ in range(40)], tmp_path)
    for index, file in enumerate(files):
        file.photograph = index // 2
    roles = photographs.split(files, 7, 0.12, 0.25)
    groups = [{file.photograph for file in getattr(roles, role)} for role in leakage.ROLES]
    assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])
    for label in range(3):
        shown = [
            photographs.count(file for file in group if file.label == label)
            for group in (roles.train, roles.validation, roles.test)
        ]
        assert shown == [13, 2, 5]
    again = photographs.split(files, 7, 0.12, 0.25)
    assert [file.path for file in again.test] == [file.path for file in roles.test]


def test_a_photograph_in_two_classes_tests_nothing(tmp_path):
    files = files_of([(label, scene(0)) for label in range(2) for _ in range(10)], tmp_path)
    for index, file in enumerate(files):
        file.photograph = index % 10 if index in (0, 10) else index
    roles = photographs.split(files, 7, 0.12, 0.25)
    assert {files[0].path, files[10].path} <= {file.path for file in roles.train}


def test_parts_that_look_alike_are_split_and_it_is_said(tmp_path):
    pictures = [(label, part(kind, number)) for label, kind in enumerate(CLASSES) for number in range(10)]
    files = files_of(pictures, tmp_path)
    notes = photographs.find_photographs(files, list(CLASSES))
    for label, kind in enumerate(CLASSES):
        shown = photographs.count(file for file in files if file.label == label)
        assert shown >= photographs.PHOTOGRAPHS_MIN
        said = any(note.startswith(f"{kind}:") for note in notes)
        assert said or shown > 5


def test_copies_of_one_photograph_are_no_data_set(tmp_path):
    files = files_of([(0, scene(0)) for _ in range(20)] + [(1, scene(n)) for n in range(1, 9)], tmp_path)
    with pytest.raises(UserError, match="20 files, but only 1 different"):
        photographs.find_photographs(files, ["copied", "other"])


@pytest.mark.parametrize("make", ["nothing", "one class", "empty class", "damaged"])
def test_a_folder_that_cannot_be_used_is_said(tmp_path, make):
    folder = tmp_path / "data"
    if make != "nothing":
        (folder / "a").mkdir(parents=True)
        cv2.imwrite(str(folder / "a" / "0.png"), scene(0))
    if make in ("empty class", "damaged"):
        (folder / "b").mkdir()
    if make == "damaged":
        (folder / "b" / "0.jpg").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"data"):
        photographs.read(folder)


def test_a_part_on_paper_is_cut_out_and_one_in_clutter_is_not(tmp_path):
    on_paper, in_clutter = (File(tmp_path, 0, part("gear", 3, paper)) for paper in (True, False))
    mask = photographs.cut_out(on_paper)
    assert mask is not None
    assert 0.2 < np.count_nonzero(mask) / mask.size < 0.3  # a circle of radius 45 in 160 x 160
    assert photographs.cut_out(in_clutter) is None


def test_a_copy_that_was_missed_is_moved_to_training(tmp_path):
    pictures = [(0, scene(number)) for number in range(8)]
    pictures.append((0, cv2.GaussianBlur(np.rot90(scene(2)).copy(), (0, 0), 1.0)))
    pictures.append((0, scene(90)))
    files = files_of(pictures, tmp_path)
    for index, file in enumerate(files):
        file.photograph = index
    files[9].photograph = 8  # another picture of the photograph that leaks
    roles = Split(files[:6], files[6:8], files[8:])
    leaks = leakage.repair(roles)
    assert [(leak.held_out.path.stem, leak.other.path.stem) for leak in leaks] == [("8", "2")]
    assert roles.test == []
    assert {file.path.stem for file in roles.train} == {"0", "1", "2", "3", "4", "5", "8", "9"}
    assert leakage.find(roles) == []


def test_different_photographs_are_far_apart(tmp_path):
    files = files_of([(0, scene(number)) for number in range(12)], tmp_path)
    table = leakage.distances(files, files)
    assert (np.diag(table) == 0).all()
    assert table[~np.eye(12, dtype=bool)].min() > 2 * leakage.BITS_MAX
