"""What the service does in, numbers for Prometheus out; every label has a bounded number of values."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from convscope.service.batcher import Batcher
from convscope.service.models import Models, Served

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
PICTURES = (1, 2, 4, 8, 16, 24, 32, 64, 128)
SHARES = tuple(share / 10 for share in range(1, 10))
METHODS = {"GET", "POST"}  # HTTP's; whatever else a client makes up is one label


class Metrics:
    """Counters of one process, in a registry of its own."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "convscope_requests", "Requests answered.", ["route", "method", "status"], registry=registry
        )
        self.seconds = Histogram(
            "convscope_request_seconds",
            "From the headers to the end of the answer.",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self.batches = Histogram(
            "convscope_batch_pictures", "Pictures predicted together.", buckets=PICTURES, registry=registry
        )
        self.queue = Gauge("convscope_queue_pictures", "Pictures waiting.", ["work"], registry=registry)
        self.taken = Gauge(
            "convscope_queue_taken", "Pictures that are prepared, waiting or computed.", ["work"], registry=registry
        )
        self.classes = Counter(
            "convscope_predictions", "Pictures by predicted class.", ["model", "label"], registry=registry
        )
        self.confidence = Histogram(
            "convscope_confidence",
            "Probability of the predicted class.",
            ["model"],
            buckets=SHARES,
            registry=registry,
        )
        self.ready = Gauge(
            "convscope_model_ready", "1 for a model that answers.", ["model", "sha256"], registry=registry
        )

    def watch(self, batcher: Batcher[Any, Any]) -> None:
        """Show the queue of a batcher as it is when somebody asks."""
        self.queue.labels(batcher.name).set_function(lambda: batcher.waiting)
        self.taken.labels(batcher.name).set_function(lambda: batcher.taken)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """One request; `route` is a template, never the path that a client sent."""
        self.requests.labels(route, method if method in METHODS else "other", f"{status // 100}xx").inc()
        self.seconds.labels(route).observe(seconds)

    def refused(self, status: int) -> None:
        """What was no request yet: headers too slow or too large, no HTTP, one connection too many."""
        self.requests.labels("other", "other", f"{status // 100}xx").inc()

    def predicted(self, model: Served, rows: NDArray[np.float64]) -> None:
        """What a model said of some pictures, (N, K)."""
        for row in rows:
            self.classes.labels(model.name, model.run.classes[row.argmax()]).inc()
            self.confidence.labels(model.name).observe(row.max())

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        self.ready.clear()
        for model in self.models.ready:
            self.ready.labels(model.name, model.sha256).set(1)
        for name in self.models.missing:
            self.ready.labels(name, "").set(0)
        return generate_latest(self.registry)
