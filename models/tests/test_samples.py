import argparse
import collections

import numpy as np
import pytest
from conftest import part

from andon_models import checkpoint, samples, scenes, store
from andon_models.errors import UserError
from andon_models.photographs import File, cut_out


def files_on_paper(tmp_path, counts=(8, 2)) -> list[File]:
    files = []
    for label, count in enumerate(counts):
        for number in range(count):
            pixels = part(("bolt", "gear")[label], number)
            files.append(File(tmp_path / f"{label}{number}", label, pixels, photograph=10 * label + number))
            files[-1].mask = cut_out(files[-1])
    return files


def test_every_class_is_drawn_equally_often_and_every_photograph_alike(tmp_path):
    files = files_on_paper(tmp_path)
    files += [files[0]] * 20  # many copies of one photograph
    plan = samples.training_plan(files, 2, 2000, None, 7)
    by_class = collections.Counter(planned.label for planned in plan)
    assert by_class == {0: 1000, 1: 1000}
    shown = collections.Counter(planned.file.photograph for planned in plan if planned.label == 0)
    assert len(shown) == 8
    assert max(shown.values()) < 1.6 * min(shown.values())


def test_painted_pictures_are_of_the_other_classes(tmp_path):
    plan = samples.training_plan(files_on_paper(tmp_path), 2, 1000, 1, 7)
    painted = [planned for planned in plan if planned.blemish]
    assert 150 < len(painted) < 250
    assert all(planned.label == 1 and planned.file.label == 0 for planned in painted)


def test_a_picture_depends_on_its_plan_alone(tmp_path):
    files = files_on_paper(tmp_path)
    plans = {"training": samples.training_plan(files, 2, 24, 1, 7)}
    here = samples.Drawing(scenes.Backgrounds([]), plans, workers=0)
    there = samples.Drawing(scenes.Backgrounds([]), plans, workers=2)
    try:
        together = here.draw("training")
        assert together.shape == (24, 224, 224, 3)
        assert together.std() > 10
        assert (there.draw("training") == together).all()
        assert (here.draw("training", 7, 9) == together[7:9]).all()
    finally:
        there.close()


def test_a_cut_filling_goes_on_where_it_was(tmp_path):
    def make(start, stop):
        return np.arange(start, stop, dtype=np.float16).reshape(-1, 1) % 251

    def fails_later(start, stop):
        if start >= store.CHUNK:
            raise KeyboardInterrupt
        return make(start, stop)

    path = tmp_path / "rows.npy"
    with pytest.raises(KeyboardInterrupt):
        store.FeatureStore(path, 600, (1,)).fill(fails_later)
    asked = []

    def counted(start, stop):
        asked.append(start)
        return make(start, stop)

    again = store.FeatureStore(path, 600, (1,))
    again.fill(counted)
    assert asked == [256, 512]
    assert (again.rows == make(0, 600)).all()


def test_work_of_another_training_is_not_gone_on_with(tmp_path):
    files = files_on_paper(tmp_path)
    options = argparse.Namespace(seed=7, samples=100, epochs=3, out="a")
    store.require_same_run(tmp_path, files, options)
    store.require_same_run(tmp_path, files, argparse.Namespace(seed=7, samples=100, epochs=2, out="b"))
    with pytest.raises(UserError, match="--restart"):
        store.require_same_run(tmp_path, files, argparse.Namespace(seed=8, samples=100, epochs=3, out="a"))
    files[0].pixels = files[0].pixels + 1
    with pytest.raises(UserError, match="--restart"):
        store.require_same_run(tmp_path, files, options)


def test_a_checkpoint_comes_back_as_it_was_and_survives_a_cut(tmp_path):
    path = tmp_path / "checkpoint.npz"
    assert checkpoint.load(path) is None
    arrays = {"best": [np.arange(3), np.ones((2, 2))], "optimizer": [np.array(5)]}
    checkpoint.save(path, {"stage": 1, "epochs": [{"loss": 0.5}]}, arrays)
    path.with_suffix(".partial").write_bytes(b"half")
    state, read = checkpoint.load(path)
    assert state == {"stage": 1, "epochs": [{"loss": 0.5}]}
    assert [array.tolist() for array in read["best"]] == [[0, 1, 2], [[1, 1], [1, 1]]]
    assert int(read["optimizer"][0]) == 5
