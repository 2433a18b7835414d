"""Questions of the page in; the numbers of a traced model out: arrays as raw float32, the rest as JSON."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response

from convscope.pictures import encode_png
from convscope.service.problems import Problem
from convscope.service.trace.desk import Traced, models
from convscope.service.trace.passes import Mode
from convscope.service.trace.raw import raw
from convscope.service.trace.receptive import receptive_box
from convscope.service.trace.summary import model_row, model_summary
from convscope.service.trace.turns import in_turn

MOST_PICTURES = 200

Read = TypeVar("Read", bound=Callable[..., Any])

router = APIRouter()


def asked(path: str, **options: Any) -> Callable[[Read], Read]:
    """Makes a function the route of a question, computed in its turn; the function itself stays as it is."""

    def register(read: Read) -> Read:
        router.get(path, **options)(in_turn(read))
        return read

    return register


@router.get("/models")
async def list_models(request: Request) -> dict[str, Any]:
    """What can be traced."""
    return {"models": [model_row(served) for served in models(request).ready]}


@asked("/{model}")
def read_graph(traced: Traced) -> dict[str, Any]:
    """A model: what it takes and gives, and every node of its graph in order of execution."""
    return model_summary(traced)


@asked("/{model}/pictures")
def list_pictures(
    traced: Traced,
    source: str,
    start: Annotated[int, Query(ge=0)] = 0,
    count: Annotated[int, Query(ge=1, le=MOST_PICTURES)] = 48,
    mistakes: bool = False,
) -> dict[str, Any]:
    """Pictures of a source with what the model says of them; those that it gets wrong as far as it has looked."""
    return traced.page(source, start, count, mistakes)


@asked("/{model}/picture", response_class=Response)
def read_picture(traced: Traced, img: str) -> Response:
    """The PNG of a picture as the model sees it; its class, percent-encoded, in a header where it is known."""
    picture = traced.gallery.picture(img)
    label = {} if picture.label is None else {"X-Label": quote(traced.run.classes[picture.label])}
    return Response(picture.png, media_type="image/png", headers=label)


@asked("/{model}/run")
def read_run(traced: Traced, img: str, edits: str = "") -> dict[str, Any]:
    """Logits, probabilities and the predicted class."""
    return traced.answer(img, traced.edits(edits))


@asked("/{model}/output", response_class=Response)
def read_output(traced: Traced, img: str, node: str, mode: Mode = "eval", mates: str = "", edits: str = "") -> Response:
    """The output of a node; in train mode BatchNorm takes its statistics over the picture and its mates."""
    traced.graph.node(node)
    return raw(traced.passed(img, traced.edits(edits), mode, _mates(mates, mode)).outputs[node])


@asked("/{model}/tensor", response_class=Response)
def read_tensor(traced: Traced, node: str, name: str) -> Response:
    """A parameter or buffer of a node."""
    return raw(traced.tensor(node, name))


@asked("/{model}/statistics")
def read_statistics(traced: Traced, img: str, node: str, mates: str = "", edits: str = "") -> dict[str, Any]:
    """What a BatchNorm in train mode sees of a picture and its mates, beside its running statistics."""
    return traced.statistics(img, node, _mates(mates, "train"), traced.edits(edits))


@asked("/{model}/gradient", response_class=Response)
def read_gradient(traced: Traced, img: str, node: str, target: int, of: str | None = None, edits: str = "") -> Response:
    """The gradient of a class's logit at a node's output, or of a parameter of the node."""
    return raw(traced.gradient(img, node, target, of, traced.edits(edits)))


@asked("/{model}/dead")
def read_dead(traced: Traced, node: str) -> dict[str, Any]:
    """The channels of a node that are above 0 nowhere in a number of test pictures."""
    traced.graph.node(node)
    found = traced.dead()
    return {"dead": list(found.channels.get(node, ())), "pictures": found.pictures}


@asked("/{model}/heatmap")
def read_heatmap(
    traced: Traced,
    img: str,
    method: str = "grad-cam",
    layer: str | None = None,
    target: int | None = None,
    edits: str = "",
) -> dict[str, Any]:
    """An explanation: the raw map, the channels' weights where it has them, and the heat at the picture's size."""
    return traced.heat(img, method, layer, target, traced.edits(edits)).as_json()


@asked("/{model}/heatmap.png", response_class=Response)
def read_overlay(
    traced: Traced,
    img: str,
    method: str = "grad-cam",
    layer: str | None = None,
    target: int | None = None,
    edits: str = "",
    alpha: Annotated[float, Query(ge=0, le=1)] = 0.65,
) -> Response:
    """The same, laid over the picture as `convscope explain` draws it."""
    heat = traced.heat(img, method, layer, target, traced.edits(edits))
    return Response(encode_png(heat.overlay(traced.gallery.picture(img).pixels, alpha)), media_type="image/png")


@asked("/{model}/receptive")
def read_receptive(traced: Traced, node: str, y: int, x: int) -> dict[str, Any]:
    """The part of the picture that a place sees; all null where it sees nothing but padding."""
    box = receptive_box(traced.graph, traced.graph.node(node), y, x)
    (top, bottom), (left, right) = box or ((None, None), (None, None))
    return {"top": top, "left": left, "bottom": bottom, "right": right}


def _mates(text: str, mode: Literal["eval", "train"]) -> tuple[str, ...]:
    """References of other pictures of the batch, comma-separated."""
    mates = tuple(text.split(",")) if text else ()
    if mates and mode == "eval":
        raise Problem(422, "mates_in_eval", "mates change nothing in eval mode; ask with mode=train, or leave them out")
    return mates
