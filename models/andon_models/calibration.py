"""Whether a score means what it says: temperature, reliability, and the threshold for `grade_threshold`.

A network trained with smoothed labels is less sure than it is right, one trained without is more sure. One number,
the temperature, mends most of it (Guo et al., 2017): the logits are divided by it. It is found on the validation
photographs and built into the last layer, so that the exported score is the mended one.
"""

from dataclasses import dataclass, replace

import numpy as np

TINY = 1e-9
BINS = 10
SHOWN = (0.5, 0.6, 0.7, 0.8, 0.9)  # thresholds that a card lists beside the chosen one
PRECISION_TARGET = 0.99  # of the answers at or above the chosen threshold


@dataclass(frozen=True)
class Reliability:
    """Per bin of the score: its mean score, the share of right answers, and how many there were."""

    score: np.ndarray
    right: np.ndarray
    count: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance of the two, weighted by the counts."""
        used = self.count > 0
        weights = self.count[used] / max(1, self.count.sum())
        return float(np.sum(np.abs(self.score[used] - self.right[used]) * weights))


@dataclass(frozen=True)
class Threshold:
    """The lowest score from which enough answers are right, and the share of all answers that reach it."""

    score: float
    right: float
    kept: float
    reached: bool


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature with the highest likelihood, 0.2 to 5, by golden-section search over its logarithm."""
    logits = np.log(np.clip(probabilities, TINY, 1))
    rows = np.arange(len(labels))

    def loss(exponent: float) -> float:
        scaled = logits / np.exp(exponent)
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        return float(np.mean(np.log(np.exp(scaled).sum(axis=1)) - scaled[rows, labels]))

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


def listed(probabilities: np.ndarray, labels: np.ndarray) -> list[Threshold]:
    """What some thresholds do, for the card."""
    return [at(probabilities, labels, score) for score in SHOWN]


def reliability(probabilities: np.ndarray, labels: np.ndarray) -> Reliability:
    """Bins the answers by their score, from chance to certainty, in steps of equal width."""
    score = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    lowest = 1 / probabilities.shape[1]
    position = ((score - lowest) / (1 - lowest) * BINS).astype(int).clip(0, BINS - 1)
    count = np.bincount(position, minlength=BINS)
    safe = np.maximum(count, 1)
    return Reliability(
        np.bincount(position, score, BINS) / safe, np.bincount(position, right.astype(float), BINS) / safe, count
    )


def choose_threshold(probabilities: np.ndarray, labels: np.ndarray, target: float) -> Threshold:
    """The lowest of 0.50, 0.51, … 0.99 from which `target` of the answers are right.

    Where none reaches it, the one with the largest share of right answers, and `reached` says so.
    """
    found = [at(probabilities, labels, percent / 100) for percent in range(50, 100)]
    found = [one for one in found if one.kept > 0] or found[:1]
    reached = next((one for one in found if one.right >= target), None)
    if reached is not None:
        return replace(reached, reached=True)
    return max(found, key=lambda one: one.right)


def at(probabilities: np.ndarray, labels: np.ndarray, score: float) -> Threshold:
    """What a threshold does: the share of right answers among those that reach it, and how many do."""
    kept = probabilities.max(axis=1) >= score
    right = probabilities.argmax(axis=1)[kept] == np.asarray(labels)[kept]
    return Threshold(score, float(right.mean()) if kept.any() else 0.0, float(kept.mean()), False)
