"""Examples split into training, validation and test, each with the classes in their shares."""

import numpy as np


def stratified(labels: np.ndarray, shares: tuple[float, ...], seed: int = 0) -> list[np.ndarray]:
    """Index arrays, one a share, that together hold every example once.

    Args:
      labels: (n,) class of each example.
      shares: of each part, in (0, 1), with sum 1; every class is cut in these proportions, and the
        last part takes the rest.
      seed: of the shuffle; the same seed gives the same split for ever.

    >>> first, second = stratified(np.array([0, 0, 0, 0, 1, 1, 1, 1]), (0.5, 0.5))
    >>> len(first), len(second)
    (4, 4)
    """
    draws = np.random.RandomState(seed)
    parts: list[list[np.ndarray]] = [[] for _ in shares]
    edges = np.cumsum(shares)[:-1]
    for label in np.unique(labels):
        members = draws.permutation(np.flatnonzero(labels == label))
        cuts = np.round(edges * len(members)).astype(int)
        for part, chosen in zip(parts, np.split(members, cuts), strict=True):
            part.append(chosen)
    return [draws.permutation(np.concatenate(part)) for part in parts]
