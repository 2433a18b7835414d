"""A tracer in; what the page must know of its model before any picture out, as JSON."""

from typing import Any

from convscope.service.models import Served
from convscope.service.trace.heat import method_list
from convscope.service.trace.tracer import Tracer


def model_row(served: Served) -> dict[str, Any]:
    """One line of the list of models."""
    run = served.run
    return {"name": served.name, "sha256": served.sha256, "model": run.model_name, "parameters": run.parameters}


def model_summary(tracer: Tracer) -> dict[str, Any]:
    """The model's row, what it takes and gives, its graph, and what can be asked."""
    run, nodes = tracer.run, tracer.graph.nodes
    return model_row(tracer.served) | {
        "classes": list(run.classes),
        "input_shape": list(run.input_shape),
        "mean": list(run.checkpoint["mean"]),
        "std": list(run.checkpoint["std"]),
        "multiply_adds": sum(node.multiply_adds for node in nodes),
        "cam_layer": getattr(run.model, "cam_layer", None),
        "sources": [tracer.source_row(name) for name in tracer.gallery.names],
        "methods": method_list(),
        "nodes": [node.as_json() for node in nodes],
    }
