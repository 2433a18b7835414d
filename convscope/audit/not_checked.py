"""An audit in, sentences out: what it did not look at, so that nobody takes silence for approval."""

from collections.abc import Iterator

from convscope.audit.audit import Audit
from convscope.audit.verdict import listed

NO_EQUATION = ("score-cam", "ablation-cam", "occlusion")


def not_checked(audit: Audit) -> list[str]:
    """What a reader might think was checked, and was not."""
    return list(_sentences(audit))


def _sentences(audit: Audit) -> Iterator[str]:
    pictures = len(audit.subject.images)
    fewer = [f"{m.name} ({len(m.maps)})" for m in audit.methods if len(m.maps) < pictures]
    if fewer:
        yield (
            f"These methods take many passes a picture and were given fewer than the {pictures:,} test pictures: "
            f"{listed(fewer)}. For the maps after random weights it is at most 64, and 8 or more of those."
        )
    for name, reason in audit.refused.items():
        yield f"{name}: not possible for this network. {reason[:1].upper()}{reason[1:]}."
    if plain := [m.name for m in audit.methods if m.name in NO_EQUATION]:
        yield (
            f"{listed(plain)}: no formula to compare with on this checkpoint, only a batch with its singles. "
            "convscope's test suite holds them against a computation one mask at a time."
        )
    for oracle in audit.oracles:
        if oracle.ok is None:
            yield f"{oracle.name}: does not apply. {oracle.skipped[:1].upper()}{oracle.skipped[1:]}."
    for method in audit.methods:
        if method.likeness.passed is None:
            reason = method.likeness.problem or "none of its maps has an order to compare with"
            yield f"{method.name} with random weights: {reason}."
    if audit.random_labels is None:
        yield (
            "Random labels, the second sanity check: `convscope audit "
            f"{audit.run} --random-labels` trains the recipe again, on permuted labels."
        )
    if audit.subject.pictures.masks is None:
        yield "Whether the maps lie on the object: these pictures come without masks. The data set `shapes` has them."
    if audit.objects and audit.objects.problem:
        yield f"Whether the network learned a mark in place of the objects: {audit.objects.problem}."
    where = f"layers other than {audit.subject.layer}, and " if audit.subject.layer else ""
    yield f"Maps at {where}for classes other than the one that the network predicts."
    yield (
        "Whether a map is complete. To beat a control says that its order of the pixels is better than one that knows "
        "nothing of the network; no more."
    )
