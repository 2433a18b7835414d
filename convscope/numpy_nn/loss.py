"""CrossEntropyLoss: scores (N, K) and labels (N,) come in, one number and its gradient (N, K) go out."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convscope.numpy_nn.shapes import Array, check_float, number


class CrossEntropyLoss:
    """How surprised the network is by the true labels, on average over the batch, in nats.

    With p = softmax(z) and the target q = (1 - ε)·onehot(label) + ε/K (Szegedy et al. 2016, section 7):

        L = -(1/N) Σ_n Σ_k q[n, k] log p[n, k]        dL/dz = (p - q) / N

    log p = z - max z - log Σ exp(z - max z), so that large scores do not overflow.

    Args:
        label_smoothing: ε, the share of the target spread evenly over all K classes, 0 to 1.

    Raises:
        ValueError: `label_smoothing` out of range; a call with logits that are not a float (N, K), or labels
            that are not N whole numbers in 0..K-1.

    >>> loss = CrossEntropyLoss()
    >>> print(loss(np.array([[2.0, 0.0], [0.0, 0.0]]), np.array([0, 1])).round(4))  # (0.1269 + 0.6931) / 2
    0.41
    >>> print(loss.backward().round(4))
    [[-0.0596  0.0596]
     [ 0.25   -0.25  ]]
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = number("CrossEntropyLoss", "label_smoothing", label_smoothing, at_most=1)
        self._gradient: Array | None = None

    def __call__(self, logits: Array, labels: NDArray[np.integer[Any]]) -> np.floating[Any]:
        """The mean loss, a scalar in the dtype of the logits."""
        self._gradient = None
        logits, labels = np.asarray(logits), np.asarray(labels)
        _check(logits, labels)
        batch, classes = logits.shape
        rows = np.arange(batch)

        shifted = logits - logits.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))  # (N, K)
        loss: np.floating[Any] = -log_p[rows, labels].mean()
        gradient = np.exp(log_p)  # p, and from here on p - q
        gradient[rows, labels] -= 1 - self.label_smoothing
        if self.label_smoothing:
            loss = (1 - self.label_smoothing) * loss - self.label_smoothing * log_p.mean()
            gradient -= self.label_smoothing / classes
        self._gradient = gradient / batch
        return loss

    def backward(self) -> Array:
        """dL/dlogits of the last call, (N, K), a new array each time; RuntimeError before the first."""
        if self._gradient is None:
            raise RuntimeError("CrossEntropyLoss.backward has no loss to go back through; call it first")
        return self._gradient.copy()


def _check(logits: Array, labels: NDArray[np.integer[Any]]) -> None:
    """Refuse what would index out of bounds, broadcast, or average nothing."""
    check_float("CrossEntropyLoss", logits)
    if logits.ndim != 2 or min(logits.shape) < 1:
        raise ValueError(f"CrossEntropyLoss got logits {logits.shape}: expected (N, K), neither of them 0")
    if labels.shape != logits.shape[:1]:
        raise ValueError(
            f"CrossEntropyLoss got labels {labels.shape} for logits {logits.shape}: "
            f"expected one a row, {logits.shape[:1]}"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"CrossEntropyLoss got {labels.dtype} labels {labels.shape}: expected whole numbers")
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ValueError(
            f"CrossEntropyLoss got labels {labels.min()}..{labels.max()} for logits {logits.shape}: "
            f"expected 0..{logits.shape[1] - 1}"
        )
