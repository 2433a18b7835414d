"""A run in, an Audit out: whether its explanations are right, faithful and about the network, and what is not known."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from convscope.audit import contest, equations, sanity
from convscope.audit.contest import Entry, Interval, Remembering
from convscope.audit.maps import MethodMaps, control_maps, explain_all
from convscope.audit.objects import Objects, look_for_objects
from convscope.audit.oracle import Oracle
from convscope.audit.progress import Progress
from convscope.audit.random_labels import RandomLabels, train_on_random_labels
from convscope.audit.sanity import Cascade, Likeness
from convscope.audit.subject import Subject, choose_subject
from convscope.audit.verdict import verdict
from convscope.explain import Explanation
from convscope.explain.controls import CONTROLS
from convscope.runs import Run

IMAGES = 256
Gains = Mapping[str, Mapping[str, Interval]]  # control -> measure -> by how much the method is better


@dataclass(frozen=True, eq=False)
class MethodAudit:
    """What was found of one method.

    Attributes:
        maps: of the pictures that it was given.
        entry: what the measures say.
        gains: over each control, on the same pictures.
        likeness: to the original maps, as the weights become random.
        labels: the same after training on permuted labels; None where that was not asked for.
    """

    maps: MethodMaps
    entry: Entry
    gains: Gains
    likeness: Likeness
    labels: Likeness | None = None

    @property
    def name(self) -> str:
        """Of the method."""
        return self.maps.name

    @property
    def verdict(self) -> str:
        """Against the controls, in a sentence."""
        return verdict(self.gains)


@dataclass(frozen=True, eq=False)
class Audit:
    """Everything that an audit found.

    Attributes:
        run, dataset, model: names.
        subject: on what.
        methods: those that the network can have, in the order of `METHODS`.
        refused: the others, each with the reason.
        controls: what knows nothing of the network: the maps, and what the measures say.
        oracles: the equations.
        cascade: random weights.
        random_labels: None where it was not asked for.
        objects: what the masks of the pictures say; None: they have none.
        changed: whether the test pictures are others than the training's; None where nobody knows.
        seconds: all of it took.
    """

    run: str
    dataset: str
    model: str
    subject: Subject
    methods: tuple[MethodAudit, ...]
    refused: Mapping[str, str]
    controls: Mapping[str, tuple[Explanation, Entry]]
    oracles: tuple[Oracle, ...]
    cascade: Cascade
    random_labels: RandomLabels | None
    objects: Objects | None
    changed: bool | None
    seconds: float

    @property
    def shortcut(self) -> str | None:
        """A sentence where the maps show that the network cheats, else None."""
        check = self.objects and self.objects.check
        return check.sentence if check and check.shortcut else None

    @property
    def failed(self) -> list[Oracle]:
        """The equations that do not hold: something is wrong, in convscope or in what was registered as a method."""
        return [oracle for oracle in self.oracles if oracle.ok is False]

    @property
    def ok(self) -> bool:
        """Whether every equation that applies holds. That a control beats a method is a finding, not a failure."""
        return not self.failed


def audit(
    run: Run,
    images: int = IMAGES,
    methods: Sequence[str] | None = None,
    random_labels: bool = False,
    data_dir: Path | None = None,
    progress: bool = False,
) -> Audit:
    """Hold a run's explanations against equations, controls and a network that has forgotten.

    The model is left as it was. The pictures are of the test set, the class explained is the one predicted.

    Args:
        images: how many, at most; methods of many passes get fewer.
        methods: some of `METHODS`; None takes all.
        random_labels: also train the run's recipe on permuted labels, which takes as long as the training did.
        progress: show it on standard error.

    Raises:
        UsageError: an unknown method, or fewer pictures than an audit needs.
        DataError: the data set is not at hand.
    """
    with Progress(5 + random_labels, progress) as shown:
        shown.begin("choosing pictures")
        before = state_of(run.model)
        subject, own = choose_subject(run, images, data_dir)
        changed = own.warn("test")
        shown.begin("maps of every method")
        maps, refused = explain_all(subject, methods, tell=shown.tell)
        objects = look_for_objects(run, own, subject, list(maps.values()))
        shown.begin("deletion, insertion and ROAD against the controls")
        controls, entries = _contest(subject, list(maps.values()), shown)
        shown.begin("equations")
        oracles = equations.try_all(subject, list(maps.values()), shown.tell)
        shown.begin("random weights")
        cascade = sanity.randomise(subject, list(maps.values()), tell=shown.tell)
        labels = None
        if random_labels:
            shown.begin("training on random labels")
            labels = train_on_random_labels(run, subject, list(maps.values()), data_dir, progress)
        oracles.append(equations.untouched(before, state_of(run.model)))
        likeness = {row.method: row for row in cascade.methods}
        other = {row.method: row for row in labels.methods} if labels else {}
        rows = tuple(
            MethodAudit(maps[name], entries[name], _gains(entries[name], controls), likeness[name], other.get(name))
            for name in maps
        )
        return Audit(
            run=run.name,
            dataset=run.config.data.name,
            model=run.model_name,
            subject=subject,
            methods=rows,
            refused=refused,
            controls=controls,
            oracles=tuple(oracles),
            cascade=cascade,
            random_labels=labels,
            objects=objects,
            changed=changed,
            seconds=shown.seconds,
        )


def _contest(
    subject: Subject, maps: Sequence[MethodMaps], shown: Progress
) -> tuple[dict[str, tuple[Explanation, Entry]], dict[str, Entry]]:
    """What the measures say of the controls, and of the methods."""
    classify = Remembering(subject.classify, subject.images)
    controls, entries = dict[str, tuple[Explanation, Entry]](), dict[str, Entry]()
    total = len(CONTROLS) + len(maps)
    for number, (name, found) in enumerate(control_maps(subject, CONTROLS).items(), start=1):
        shown.tell(f"{name} ({number} of {total})")
        controls[name] = found, contest.enter(subject, found, classify)
    for number, of_method in enumerate(maps, start=len(CONTROLS) + 1):
        shown.tell(f"{of_method.name} ({number} of {total})")
        entries[of_method.name] = contest.enter(subject, of_method.found, classify)
    return controls, entries


def _gains(entry: Entry, controls: Mapping[str, tuple[Explanation, Entry]]) -> Gains:
    return {name: entry.gains(control) for name, (_, control) in controls.items()}


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """Everything of a model that an explanation could change, as tensors to compare; weights by their hash."""
    state = {f"weights of {name}": _digest(value) for name, value in model.state_dict().items()}
    for name, module in model.named_modules():
        hooks = len(module._forward_hooks) + len(module._forward_pre_hooks) + len(module._backward_hooks)
        state[f"mode and hooks of {name}"] = torch.tensor([module.training, hooks])
    for name, parameter in model.named_parameters():
        state[f"gradient of {name}"] = torch.tensor([parameter.requires_grad, parameter.grad is None])
    return state | {"random stream": torch.get_rng_state()}


def _digest(value: Tensor) -> Tensor:
    digest = hashlib.sha256(np.ascontiguousarray(value.detach().cpu().numpy()).tobytes()).digest()
    return torch.tensor(list(digest))
