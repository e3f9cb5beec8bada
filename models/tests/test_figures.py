import numpy as np
import pytest

from andon_models import calibration, figures


def test_wilson_has_the_published_values():
    # R. G. Newcombe, 1998, table I: 81 of 263 and 0 of 20.
    assert figures.wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert figures.wilson(0.0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert figures.wilson(0.5, 0) == (0.0, 1.0)


def test_copies_of_a_photograph_do_not_narrow_the_interval():
    hits = np.ones(40, bool)
    alone = figures.share(hits, np.arange(40))
    copies = figures.share(hits, np.arange(40) % 4)
    assert copies.value == alone.value == 1.0
    assert copies.low == pytest.approx(figures.wilson(1.0, 4)[0])
    assert copies.low < alone.low


def test_precision_and_recall_come_from_their_own_cases():
    labels, said = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 1])
    assert figures.confusion(labels, said, 2).tolist() == [[2, 1], [0, 2]]
    good, bad = figures.per_class(labels, said, ["good", "bad"])
    assert (good.recall.value, good.recall.count) == (pytest.approx(2 / 3), 3)
    assert (good.precision.value, good.precision.count) == (1.0, 2)
    assert bad.precision.value == pytest.approx(2 / 3)


def test_a_class_without_pictures_has_no_figure():
    (_, absent) = figures.per_class(np.array([0]), np.array([0]), ["here", "absent"])
    assert absent.recall.count == 0
    assert absent.recall.text() == "–"


def test_agreement_counts_answers_and_measures_scores():
    one = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    other = np.array([[0.8, 0.2], [0.4, 0.6], [0.2, 0.8]])
    found = figures.agreement(one, other)
    assert found.same.value == pytest.approx(2 / 3)
    assert found.largest_difference == pytest.approx(0.2)


def drawn(temperature: float, count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose logits are too large by `temperature`, with labels drawn from the true probabilities."""
    rng = np.random.default_rng(5)
    logits = rng.normal(0, 2, (count, 3))
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([rng.choice(3, p=row) for row in true])
    loud = np.exp(logits * temperature)
    return loud / loud.sum(axis=1, keepdims=True), labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_was_built_in_is_found_and_mends_the_scores(temperature):
    scores, labels = drawn(temperature)
    found = calibration.fit_temperature(scores, labels)
    assert found == pytest.approx(temperature, rel=0.08)
    mended = calibration.with_temperature(scores, found)
    assert calibration.reliability(mended, labels).error < 0.03
    assert (mended.argmax(axis=1) == scores.argmax(axis=1)).all()


def test_the_threshold_is_the_lowest_from_which_enough_answers_are_right():
    scores, labels = drawn(1.0)
    chosen = calibration.Scored(scores, labels, np.arange(len(labels))).choose_threshold(0.95)
    top, right = scores.max(axis=1), scores.argmax(axis=1) == labels
    assert chosen.reached
    assert right[top >= chosen.score].mean() >= 0.95
    assert right[top >= chosen.score - 0.01].mean() < 0.95
    assert chosen.kept == pytest.approx((top >= chosen.score).mean())


def test_a_target_out_of_reach_is_said():
    scores = np.tile([0.7, 0.3], (10, 1))
    chosen = calibration.Scored(scores, np.array([0, 1] * 5), np.arange(10)).choose_threshold()
    assert not chosen.reached
    assert chosen.right.value == 0.5


def test_a_handful_of_right_answers_does_not_make_a_network_certain():
    # Six photographs in three pictures each, all answered rightly with 0.75: the likeliest temperature is none at all.
    scores, labels = np.tile([0.75, 0.25], (18, 1)), np.zeros(18, int)
    assert calibration.fit_temperature(scores, labels, np.arange(18) // 3) > 0.5
    many, labels = np.tile([0.75, 0.25], (3000, 1)), np.zeros(3000, int)
    assert calibration.fit_temperature(many, labels) < 0.25


def test_a_single_right_answer_at_the_top_makes_no_threshold():
    scores = np.tile([0.7, 0.3], (20, 1))
    scores[0] = [0.95, 0.05]
    labels = np.array([0, *[0, 1] * 9, 0])
    chosen = calibration.Scored(scores, labels, np.arange(20)).choose_threshold()
    assert (chosen.score, chosen.reached) == (0.5, False)


def test_a_threshold_and_a_bin_count_photographs():
    scores, labels = np.tile([0.9, 0.1], (40, 1)), np.zeros(40, int)
    scored = calibration.Scored(scores, labels, np.arange(40) % 4)
    assert scored.at(0.5).right.low == pytest.approx(figures.wilson(1.0, 4)[0])
    assert scored.reliability.photographs.max() == 4
    assert scored.at(0.95).right.count == 0
