import cv2
import numpy as np
import pytest
from conftest import CLASSES, part
from PIL import Image

from andon_models import dataset, leakage, photographs
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
    found = photographs.find_photographs(files, ["one", "two"])
    assert (found.notes, found.bits_max) == ([], [24, 24])
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
    assert [{file.path for file in own} for own in photographs.in_several_classes(files)] == [
        {files[0].path, files[10].path}
    ]


def disc(kind: int, number: int, moved: float) -> np.ndarray:
    """A stamped disc under a camera that stands still: each alike but for place, light, noise, and a scratch."""
    rng = np.random.default_rng([kind, number])
    picture = np.full((160, 160, 3), 110, np.float32)
    picture += cv2.resize(np.random.default_rng(0).normal(0, 12, (40, 40)).astype(np.float32), (160, 160))[..., None]
    at = tuple(int(80 + value) for value in rng.normal(0, moved, 2))
    cv2.circle(picture, at, 52, (170, 175, 180), -1, cv2.LINE_AA)
    for hole in range(6):
        turn = hole * np.pi / 3 + rng.normal(0, 0.02)
        cv2.circle(picture, (int(at[0] + 34 * np.cos(turn)), int(at[1] + 34 * np.sin(turn))), 6, (90, 92, 95), -1)
    if kind:
        start, end = (tuple(int(value + at[axis]) for axis, value in enumerate(rng.normal(0, 20, 2))) for _ in range(2))
        cv2.line(picture, start, end, (230, 230, 235), 1, cv2.LINE_AA)
    picture = picture * rng.uniform(0.85, 1.12) + rng.normal(0, 4, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


def discs(folder, moved: float) -> list[File]:
    return files_of([(kind, disc(kind, number, moved)) for kind in range(2) for number in range(24)], folder)


def test_stamped_parts_that_lie_a_little_apart_can_be_split(tmp_path):
    files = discs(tmp_path, 4)
    found = photographs.find_photographs(files, ["ok", "scratched"])
    assert found.bits_max == [photographs.BITS_MAX_ALIKE] * 2
    roles, _, _ = dataset.divide(files, ["ok", "scratched"], 7, found)
    for label in range(2):
        assert photographs.count(file for file in roles.test if file.label == label) >= 4
    # A noisy copy of one is still found out.
    copy = np.clip(files[0].pixels + np.random.default_rng(3).normal(0, 3, (160, 160, 3)), 0, 255).astype(np.uint8)
    held_out = Split([files[0]], [], [File(tmp_path / "copy.png", 0, copy)])
    assert [leak.other for leak in leakage.find(held_out, found.bits_max)] == [files[0]]


def test_stamped_parts_in_one_place_need_a_word_and_get_a_note(tmp_path):
    files = discs(tmp_path, 0)
    with pytest.raises(UserError, match="--no-copies"):
        photographs.find_photographs(files, ["ok", "scratched"])
    files.append(File(tmp_path / "again.png", 0, files[0].pixels.copy()))
    found = photographs.every_file(files, ["ok", "scratched"])
    assert photographs.count(files) == 48
    assert "--no-copies" in found.notes[0]
    roles, leaks, _ = dataset.divide(files, ["ok", "scratched"], 7, found)
    assert (leaks, photographs.count(roles.test)) == ([], 12)


def test_many_copies_in_a_class_are_doubted_aloud(tmp_path):
    pictures = [(0, scene(0)) for _ in range(14)] + [(label, scene(10 + n)) for n in range(12) for label in (n % 2,)]
    (note,) = photographs.find_photographs(files_of(pictures, tmp_path), ["copied", "other"]).notes
    assert note.startswith("copied: 14 of its 20 files look like copies of one photograph")


def test_photographs_keep_the_role_that_they_had(tmp_path):
    def files(count: int) -> list[File]:
        found = files_of([(label, scene(label * 100 + n)) for label in range(2) for n in range(count)], tmp_path)
        for index, file in enumerate(found):
            file.path = tmp_path / f"{file.label}-{index % count}.png"
            file.path.write_bytes(file.path.name.encode())
            file.photograph = index
        return found

    found, split = photographs.Found([], [-1, -1]), tmp_path / "split.json"
    before, _, notes = dataset.divide(files(20), ["a", "b"], 7, found)
    assert notes == []
    dataset.write_split(split, before, ["a", "b"])
    after, _, notes = dataset.divide(files(30), ["a", "b"], 7, found, split)
    for role in leakage.ROLES:
        assert {file.path for file in getattr(before, role)} <= {file.path for file in getattr(after, role)}
    assert [len(getattr(after, role)) for role in leakage.ROLES] == [36, 8, 16]
    assert notes == [f"40 photographs keep the role that they had in {split}"]
    split.write_text("[1]")
    with pytest.raises(UserError, match=r"no split\.json"):
        dataset.divide(files(20), ["a", "b"], 7, found, split)


def test_parts_that_look_alike_are_split_and_it_is_said(tmp_path):
    pictures = [(label, part(kind, number)) for label, kind in enumerate(CLASSES) for number in range(10)]
    files = files_of(pictures, tmp_path)
    notes = photographs.find_photographs(files, list(CLASSES)).notes
    for label, kind in enumerate(CLASSES):
        shown = photographs.count(file for file in files if file.label == label)
        assert shown >= photographs.PHOTOGRAPHS_MIN
        said = any(note.startswith(f"{kind}:") for note in notes)
        assert said or shown > 5


def test_copies_of_one_photograph_are_no_data_set(tmp_path):
    files = files_of([(0, scene(0)) for _ in range(20)] + [(1, scene(n)) for n in range(1, 9)], tmp_path)
    with pytest.raises(UserError, match="20 files, but only 1 different"):
        photographs.find_photographs(files, ["copied", "other"])


@pytest.mark.parametrize("make", ["nothing", "one class", "empty class", "damaged", "broken off", "tiny", "no label"])
def test_a_folder_that_cannot_be_used_is_said(tmp_path, make):
    folder = tmp_path / "data"
    if make != "nothing":
        (folder / "a").mkdir(parents=True)
        cv2.imwrite(str(folder / "a" / "0.png"), scene(0))
    if make in ("empty class", "damaged", "broken off", "tiny"):
        (folder / "b").mkdir()
    if make == "damaged":
        (folder / "b" / "0.jpg").write_bytes(b"no picture")
    if make == "broken off":
        content = cv2.imencode(".jpg", scene(1))[1].tobytes()
        (folder / "b" / "0.jpg").write_bytes(content[: len(content) // 2])
    if make == "tiny":
        cv2.imwrite(str(folder / "b" / "0.png"), np.zeros((2, 400, 3), np.uint8))
    if make == "no label":
        (folder / "a").rename(folder / "a  b")
    with pytest.raises(UserError, match=r"data"):
        photographs.read(folder)


def test_pictures_of_every_kind_are_read_and_what_is_none_is_named(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "data" / name / "0.png"), scene(0))
    odd = tmp_path / "data" / "a"
    cv2.imwrite(str(odd / "grey.jpg"), scene(1)[..., 0])
    cv2.imwrite(str(odd / "deep.png"), scene(2).astype(np.uint16) * 257)
    cv2.imwrite(str(odd / "alpha.png"), np.dstack([scene(3), np.zeros((160, 160, 1), np.uint8)]))
    cv2.imwrite(str(odd / "small.webp"), np.zeros((16, 16, 3), np.uint8))
    cv2.imwrite(str(odd / "long.bmp"), np.zeros((70, 1200, 3), np.uint8))
    marked = Image.fromarray(scene(4)[:80, :, ::-1].copy())
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    marked.save(odd / "turned.jpg", exif=exif)
    (odd / ".hidden.jpg").write_bytes(b"no picture")
    (odd / "raw.heic").write_bytes(b"no picture")
    (odd / "more").mkdir()
    files, classes, notes = photographs.read(tmp_path / "data")
    shapes = {file.path.name: file.pixels.shape for file in files if file.label == 0}
    assert classes == ["a", "b"]
    assert shapes["turned.jpg"] == (160, 80, 3)
    assert shapes["long.bmp"] == (17, 288, 3)
    assert set(shapes) == {"0.png", "grey.jpg", "deep.png", "alpha.png", "small.webp", "long.bmp", "turned.jpg"}
    assert all(file.pixels.dtype == np.uint8 for file in files)
    (note,) = notes
    assert "left out 2 of its entries" in note
    assert "more, raw.heic" in note


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
    assert table[~np.eye(12, dtype=bool)].min() > 2 * photographs.BITS_MAX
