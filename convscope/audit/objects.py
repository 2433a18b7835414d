"""A run's pictures with masks of their objects and its maps in; whether heat lies on the objects or on a mark, out."""

from collections.abc import Sequence
from dataclasses import dataclass

from convscope.audit.maps import MethodMaps
from convscope.audit.subject import Subject
from convscope.errors import ConvscopeError
from convscope.explain.controls import CONTROLS
from convscope.explain.localisation import Localisation, localisation
from convscope.planted import ShortcutCheck, check_shortcut
from convscope.runs import Run
from convscope.runs.own_pictures import OwnPictures


@dataclass(frozen=True, eq=False)
class Objects:
    """What the masks say.

    Attributes:
        check: whether the network looks at a mark, by its training pictures; None where that cannot be looked for.
        problem: then why; else empty.
        localisation: how well each method and control finds the objects of the subject's pictures, each map for the
            class predicted.
    """

    check: ShortcutCheck | None
    problem: str
    localisation: Localisation


def look_for_objects(run: Run, own: OwnPictures, subject: Subject, maps: Sequence[MethodMaps]) -> Objects | None:
    """Hold heat against masks; None where the pictures have none.

    The mark is looked for in the pictures that the network learned from, because a test set need not have it. No
    label of a mark and no test accuracy is used.
    """
    masks = subject.pictures.masks
    if masks is None:
        return None
    check, problem = None, ""
    try:
        check = check_shortcut(run, own.split[0])
    except ConvscopeError as error:
        problem = str(error)
    methods = {m.name: m.found.heatmaps(subject.size) for m in maps}
    controls = {name: control(subject.images).cpu().numpy() for name, control in CONTROLS.items()}
    return Objects(check, problem, localisation(methods, controls, masks))
