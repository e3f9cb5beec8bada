"""Whether a score means what it says: temperature, reliability, and the threshold for `grade_threshold`.

A network trained with smoothed labels is less sure than it is right, one trained without is more sure. One number,
the temperature, mends most of it (Guo et al., 2017): the logits are divided by it. It is found on the validation
photographs and built into the last layer, so that the exported score is the mended one. Whether that and the threshold
hold on photographs that they were not taken from, the test pictures say.
"""

from dataclasses import dataclass, replace

import numpy as np

from .figures import Share, share

TINY = 1e-9
BINS = 10
SHOWN = (0.5, 0.6, 0.7, 0.8, 0.9)  # thresholds that a card lists beside the chosen one
PRECISION_TARGET = 0.99  # of the answers at or above the chosen threshold
KEPT_MIN = 0.2  # share of all answers that has to reach it: a single right answer at the top proves nothing
# Of the logarithm of temperatures before anything is known of the network: a factor of 1.6 each way.
PRIOR_DEVIATION = 0.5


@dataclass(frozen=True)
class Reliability:
    """Per bin of the score: its mean, the share of right answers, how many there were, of how many photographs."""

    score: np.ndarray
    right: np.ndarray
    count: np.ndarray
    photographs: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance of the two, weighted by the counts."""
        used = self.count > 0
        weights = self.count[used] / max(1, self.count.sum())
        return float(np.sum(np.abs(self.score[used] - self.right[used]) * weights))


@dataclass(frozen=True)
class Threshold:
    """What a score from which answers count does: the share of right answers among those, and how many there are."""

    score: float
    right: Share
    kept: float
    reached: bool = False


@dataclass(frozen=True)
class Scored:
    """Scores `[N, classes]` of pictures with their true classes and photographs."""

    scores: np.ndarray
    labels: np.ndarray
    photographs: np.ndarray

    @property
    def reliability(self) -> "Reliability":
        """Whether the scores mean what they say."""
        return reliability(self.scores, self.labels, self.photographs)

    def at(self, score: float) -> Threshold:
        """What a threshold does. Its interval counts photographs."""
        kept = self.scores.max(axis=1) >= score
        right = self.scores.argmax(axis=1)[kept] == np.asarray(self.labels)[kept]
        return Threshold(score, share(right, np.asarray(self.photographs)[kept]), float(kept.mean()))

    def choose_threshold(self, target: float = PRECISION_TARGET) -> Threshold:
        """The lowest of 0.50, 0.51, … 0.99 from which `target` of the answers are right.

        Looked at are those that a good part of the answers reach (`KEPT_MIN`). Where none has as many right ones, it is
        the one with the largest share of them, and `reached` says so.
        """
        found = [self.at(percent / 100) for percent in range(50, 100)]
        found = [one for one in found if one.right.count and one.kept >= KEPT_MIN] or found[:1]
        reached = next((one for one in found if one.right.value >= target), None)
        if reached is not None:
            return replace(reached, reached=True)
        return max(found, key=lambda one: one.right.value)


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray, photographs: np.ndarray | None = None) -> float:
    """The likeliest temperature, 0.2 to 5, by golden-section search over its logarithm.

    A handful of photographs, all answered rightly, would be likeliest at no temperature at all, and every answer, also
    every later mistake, at a score of 1. So 1 is taken for likely beforehand: the logarithm is normal with the
    deviation `PRIOR_DEVIATION`, and each *photograph*, however many pictures there are of it, is one observation.
    """
    logits = np.log(np.clip(probabilities, TINY, 1))
    rows = np.arange(len(labels))
    observations = len(rows) if photographs is None else len(np.unique(photographs))

    def loss(exponent: float) -> float:
        scaled = logits / np.exp(exponent)
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        misfit = np.mean(np.log(np.exp(scaled).sum(axis=1)) - scaled[rows, labels])
        return float(observations * misfit + exponent**2 / (2 * PRIOR_DEVIATION**2))

    low, high, golden = np.log(0.2), np.log(5.0), (np.sqrt(5) - 1) / 2
    for _ in range(60):
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return float(np.exp((low + high) / 2))


def with_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """What the network says once its logits are divided by the temperature."""
    scaled = np.log(np.clip(probabilities, TINY, 1)) / temperature
    scaled = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return scaled / scaled.sum(axis=1, keepdims=True)


def reliability(probabilities: np.ndarray, labels: np.ndarray, photographs: np.ndarray | None = None) -> Reliability:
    """Bins the answers by their score, from chance to certainty, in steps of equal width."""
    score = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    lowest = 1 / probabilities.shape[1]
    position = ((score - lowest) / (1 - lowest) * BINS).astype(int).clip(0, BINS - 1)
    count = np.bincount(position, minlength=BINS)
    safe = np.maximum(count, 1)
    shown = np.arange(len(score)) if photographs is None else np.asarray(photographs)
    return Reliability(
        np.bincount(position, score, BINS) / safe,
        np.bincount(position, right.astype(float), BINS) / safe,
        count,
        np.array([len(np.unique(shown[position == bin_])) for bin_ in range(BINS)]),
    )
