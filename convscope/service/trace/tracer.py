"""A served model in; what the page asks about it out, worked out once and remembered within bounded memory."""

from collections.abc import Sequence
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convscope.registry import METHODS
from convscope.runs.run import softmax
from convscope.service.models import Served
from convscope.service.problems import Problem
from convscope.service.trace.cache import Cache
from convscope.service.trace.dead import Dead, dead_channels
from convscope.service.trace.edits import Edits, parse_edits
from convscope.service.trace.gallery import Gallery, Picture
from convscope.service.trace.gradients import Gradients, make_gradients
from convscope.service.trace.graph import Graph, trace_graph
from convscope.service.trace.heat import Heat, make_heat
from convscope.service.trace.passes import Array, Mode, Pass, array, make_pass
from convscope.service.trace.predictions import Predictions
from convscope.service.trace.uploads import Uploads

MOST_MATES = 64
DEAD_PICTURES = 256


class Tracer:
    """Answers about one model; safe for threads.

    Every pass is made by a copy of its own, so requests never meet in a model.
    """

    def __init__(self, served: Served, cache: Cache, uploads: Uploads) -> None:
        self.served, self.run = served, served.run
        self.gallery = Gallery(served.run, uploads)
        self._cache = cache
        self._lock = Lock()
        self._predictions: dict[str, Predictions] = {}

    @cached_property
    def graph(self) -> Graph:
        return trace_graph(self.run.model, self.run.input_shape)

    def x(self, pictures: Sequence[Picture]) -> Tensor:
        """Pictures as the model gets them, float32 (N, C, H, W), contiguous."""
        return torch.cat([self.run.preprocess(picture.pixels[None]) for picture in pictures]).contiguous()

    def edits(self, text: str) -> Edits:
        return parse_edits(text, self.graph)

    def passed(self, img: str, edits: Edits = (), mode: Mode = "eval", mates: Sequence[str] = ()) -> Pass:
        """The pass of a picture, in train mode in one batch with its mates."""
        if len(mates) > MOST_MATES:
            raise Problem(422, "too_many_mates", f"got {len(mates)} mates; at most {MOST_MATES}")
        pictures = [self.gallery.picture(ref) for ref in (img, *mates)]
        key = self.served.sha256, "pass", img, edits, mode, tuple(mates)
        return self._cache.get(key, lambda: make_pass(self.run.model, self.x(pictures), edits, mode))

    def gradients(self, img: str, target: int, edits: Edits = (), of_parameters: bool = False) -> Gradients:
        picture = self.gallery.picture(img)
        key = self.served.sha256, "gradients", img, target, edits, of_parameters
        made = self.run.model, self.x([picture]), target, edits, of_parameters
        return self._cache.get(key, lambda: make_gradients(*made))

    def heat(self, img: str, method: str, node: str | None, target: int | None, edits: Edits = ()) -> Heat:
        """The explanation by a method, at the layer of a node where the method looks at one."""
        METHODS[method]  # an unknown one is said before the layer is looked for
        picture = self.gallery.picture(img)
        layer = None if node is None else self.graph.explained(self.graph.node(node))
        key = self.served.sha256, "heat", img, method, layer, target, edits
        return self._cache.get(key, lambda: make_heat(self.run.model, self.x([picture]), method, layer, target, edits))

    def dead(self) -> Dead:
        """Dead channels over the first pictures of the test set, or of the first source there is."""
        images = self.gallery.source(self.gallery.names[0]).images[:DEAD_PICTURES]
        key = self.served.sha256, "dead"
        return self._cache.get(key, lambda: dead_channels(self.run.model, self.run.preprocess(images)))

    def predictions(self, source: str) -> Predictions:
        pictures = self.gallery.source(source)
        with self._lock:
            if source not in self._predictions:
                self._predictions[source] = Predictions(self.run, pictures)
            return self._predictions[source]

    def page(self, source: str, start: int, count: int, mistakes: bool) -> dict[str, Any]:
        """Pictures of a source in order, with the model's answers; of its mistakes those found so far."""
        pictures, predictions = self.gallery.source(source), self.predictions(source)
        found = predictions.mistakes() if mistakes else None
        chosen = range(len(pictures)) if found is None else found.indices
        shown = list(chosen[start : start + count])
        rows = [
            {
                "ref": f"{source}:{index}",
                "label": None if pictures.labels is None else self.run.classes[pictures.labels[index]],
                "predicted": self.run.classes[predicted],
                "probability": probability,
            }
            for index, (predicted, probability) in zip(shown, predictions.of(shown), strict=True)
        ]
        progress = {} if found is None else {"checked": found.checked, "complete": found.complete}
        return {"total": len(chosen), "pictures": rows} | progress

    def answer(self, img: str, edits: Edits) -> dict[str, Any]:
        """What the model says of a picture, its true class beside where that is known."""
        logits = self.passed(img, edits).logits
        if not np.isfinite(logits).all():
            raise Problem(422, "not_finite", "with these edits the network gives no numbers (NaN); take one back")
        probabilities = softmax(logits[None].astype(np.float64))[0]
        index, true = int(probabilities.argmax()), self.gallery.picture(img).label
        return {
            "logits": logits.tolist(),
            "probabilities": probabilities.tolist(),
            "label": self.run.classes[index],
            "index": index,
            "true": None if true is None else self.run.classes[true],
        }

    def statistics(self, img: str, node: str, mates: Sequence[str], edits: Edits = ()) -> dict[str, Any]:
        """Batch statistics of a BatchNorm, and its running ones as they are saved.

        Raises:
            Problem: 422 for a node of another kind.
        """
        if self.graph.node(node).kind.name != "batchnorm":
            raise Problem(422, "no_statistics", f"node {node!r} is no BatchNorm; only those have statistics")
        seen = self.passed(img, edits, "train", mates).statistics[node]
        running = {name: self.tensor(node, name).tolist() for name in ("running_mean", "running_var")}
        return {"mean": seen.mean.tolist(), "var": seen.var.tolist(), "count": seen.count} | running

    def gradient(self, img: str, node: str, target: int, of: str | None, edits: Edits) -> Array:
        """The gradient of a logit at a node's output, or of its parameter `of`.

        Raises:
            Problem: 404 for a parameter that it has not, 422 for a node from which nothing leads to the logit.
        """
        layer = self.graph.node(node).layer
        found = self.gradients(img, target, edits, of is not None)
        gradient = found.outputs.get(node) if of is None else found.parameters.get((layer, of))
        if gradient is None and of is not None:
            self.graph.tensor(node, of)
            raise Problem(422, "no_gradient", f"{of} of node {node!r} is a statistic, which has no gradient")
        if gradient is None:
            raise Problem(422, "no_gradient", f"no gradient leads from the logit of class {target} to node {node!r}")
        return gradient

    def source_row(self, name: str) -> dict[str, Any]:
        """A source as the page lists it; `count` and `labelled` are null until somebody has looked into it."""
        source = self.gallery.loaded(name)
        if source is None:
            return {"name": name, "count": None, "labelled": None}
        return {"name": name, "count": len(source), "labelled": source.labels is not None}

    def tensor(self, node: str, name: str) -> Array:
        """A parameter or buffer of a node."""
        self.graph.tensor(node, name)
        return array(getattr(self.run.model.get_submodule(self.graph.node(node).layer), name))
