"""Figures of a classifier: confusion, precision and recall with their intervals, agreement of two models."""

from dataclasses import dataclass

import numpy as np

# Two-sided 95 %.
Z = 1.959963984540054


@dataclass(frozen=True)
class Share:
    """A share of cases with its 95 % interval. Without cases, `value` is not a number and the interval is 0 to 1."""

    value: float
    low: float
    high: float
    count: int

    def text(self) -> str:
        """`0.954 (0.85 to 0.99)`, or a dash without cases."""
        return "–" if self.count == 0 else f"{self.value:.3f} ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True)
class ClassFigures:
    """One class: what share of it was found, and what share of what was called so is of it."""

    name: str
    recall: Share
    precision: Share


def wilson(value: float, count: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share seen in `count` independent cases (E. B. Wilson, 1927)."""
    if count <= 0:
        return 0.0, 1.0
    centre = (value + Z * Z / (2 * count)) / (1 + Z * Z / count)
    reach = Z / (1 + Z * Z / count) * np.sqrt(value * (1 - value) / count + Z * Z / (4 * count * count))
    return float(max(0.0, centre - reach)), float(min(1.0, centre + reach))


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts `[classes, classes]`, row by true class and column by predicted class."""
    table = np.zeros((classes, classes), int)
    np.add.at(table, (np.asarray(labels, int), np.asarray(predicted, int)), 1)
    return table


def share(hits: np.ndarray, groups: np.ndarray) -> Share:
    """Share of `hits` that are true. The interval counts `groups`: copies of one photograph are one case."""
    hits = np.asarray(hits, bool)
    if len(hits) == 0:
        return Share(float("nan"), 0.0, 1.0, 0)
    value = float(hits.mean())
    low, high = wilson(value, len(np.unique(groups)))
    return Share(value, low, high, len(hits))


def per_class(
    labels: np.ndarray, predicted: np.ndarray, names: list[str], groups: np.ndarray | None = None
) -> list[ClassFigures]:
    """Recall and precision of every class. `groups` numbers the photographs; without it every case stands alone."""
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
    figures = []
    for number, name in enumerate(names):
        true, called = labels == number, predicted == number
        recall = share(predicted[true] == number, groups[true])
        figures.append(ClassFigures(name, recall, share(labels[called] == number, groups[called])))
    return figures


def accuracy(labels: np.ndarray, predicted: np.ndarray, groups: np.ndarray | None = None) -> Share:
    """Share of right answers."""
    labels = np.asarray(labels)
    groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
    return share(labels == np.asarray(predicted), groups)


@dataclass(frozen=True)
class Agreement:
    """How alike two models answer the same pictures."""

    same: Share
    mean_difference: float
    largest_difference: float


def agreement(one: np.ndarray, other: np.ndarray) -> Agreement:
    """Compares two models' probabilities `[N, classes]`: same answer, and how far the probabilities lie apart."""
    difference = np.abs(one - other).max(axis=1) if len(one) else np.zeros(0)
    same = share(one.argmax(axis=1) == other.argmax(axis=1), np.arange(len(one)))
    largest = float(difference.max()) if len(difference) else float("nan")
    return Agreement(same, float(difference.mean()) if len(difference) else float("nan"), largest)
