"""A run in; a PNG of the test pictures, and the parts of them, that excite the channels of a layer most, out."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from convscope.data import ImageSet
from convscope.evaluate import check_fit
from convscope.explain import TopPatches, top_patches
from convscope.explain.capture import pictures_at_once
from convscope.explain.patches import Patch
from convscope.runs import Run, plots
from convscope.runs.canvas import class_labels
from convscope.runs.own_pictures import own_pictures
from convscope.runs.patch_rows import PatchRow, PatchTile
from convscope.views.file import Values, check_ending, write_view

BATCH = 64  # pictures at once, as in `Run.logits`
MANY, ALONE = 6, 12  # patches of a channel: where many channels are shown, and of one alone
NUMBERS = 24  # of dead channels that the picture lists


def look_at_patches(
    run: Run,
    layer: str | None = None,
    channel: int | None = None,
    data_dir: Path | None = None,
    out: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Values:
    """Draw the test pictures that excite the channels of a layer most, or one of them, with what it sees of each.

    Args:
        layer: by default the one that explanations look at.
        channel: its number; by default those whose strongest pictures stand out most.
        progress: called with how many of how many pictures were looked at.

    Raises:
        UsageError: no such layer or channel, or a test set that does not fit the network.
    """
    check_ending(out)
    own = own_pictures(run, data_dir)
    check_fit(run, own.test)
    batches = _batches(run, own.test, progress)
    count = MANY if channel is None else ALONE
    found = top_patches(run.model, batches, layer, None if channel is None else [channel], count)
    png = _draw_patches(run, own.test, found, channel)
    words = ["patches", found.layer] + ([] if channel is None else [f"channel-{channel}"])
    return {
        "layer": found.layer,
        "pictures": found.pictures,
        "channels": [
            {
                "channel": item.channel,
                "dead": item.dead,
                "patches": [
                    {
                        "index": p.picture,
                        "true": run.classes[int(own.test.labels[p.picture])],
                        "value": p.value,
                        "place": list(p.place) if found.has_places else None,
                        "box": list(p.box),
                    }
                    for p in item.patches
                ],
            }
            for item in found.channels
        ],
        "dead": list(found.dead),
        "png": write_view(run, out, png, *words),
        "pictures_changed": own.warn("test"),
    }


def _batches(run: Run, pictures: ImageSet, progress: Callable[[int, int], None] | None) -> Iterator[Tensor]:
    """The pictures as the network takes them, as many at once as memory should hold."""
    size = max(1, min(BATCH, pictures_at_once(torch.empty(0, *pictures.shape))))
    for first in range(0, len(pictures), size):
        batch = run.preprocess(pictures.images[first : first + size])
        yield batch.contiguous(memory_format=torch.channels_last)  # faster on a CPU, as in `Run.logits`
        if progress:
            progress(first + len(batch), len(pictures))


def _draw_patches(run: Run, test: ImageSet, found: TopPatches, channel: int | None) -> bytes:
    """One page: a row a channel, or one channel alone."""
    names = class_labels(run.classes, 400, 9.5)  # shortened further where they stand
    kind, total = ("channel", "channels") if found.has_places else ("unit", "units"), found.shape[0]
    sight = "each sees the whole picture" if found.sees_all else "what it sees, and where that lies"
    dead = ", ".join(map(str, found.dead[:NUMBERS])) + (", …" if len(found.dead) > NUMBERS else "")
    several = f"{len(found.dead)} of {total} {kind[1]} are" if len(found.dead) > 1 else f"1 of {total} {kind[1]} is"
    among = f"{found.pictures:,} test pictures"

    def tile(patch: Patch) -> PatchTile:
        name = names[int(test.labels[patch.picture])]
        number = "" if channel is None else f" · picture {patch.picture}"
        return PatchTile(test.images[patch.picture], patch.box, f"{patch.value:.3g}{number} · {name}")

    if channel is not None:
        (only,) = found.channels
        title = f"What excites {kind[0]} {channel} of {found.layer} most"
        if only.dead:
            return plots.channel_patches([], title, f"Nothing: it is dead, never above 0 on {among}.")
        tiles = [tile(patch) for patch in only.patches]
        return plots.channel_patches(tiles, title, f"The {len(tiles)} strongest of {among}: {sight}.")
    title = f"What excites the {kind[1]} of {found.layer} most"
    if not found.channels:
        return plots.channel_patches([], title, f"Nothing: all {total} are dead, never above 0 on {among}.")
    rows = []
    for item in found.channels:
        ((common, times),) = Counter(int(test.labels[patch.picture]) for patch in item.patches).most_common(1)
        note = f"{times} of {len(item.patches)} are {names[common]}" if times > 1 else "of different classes"
        rows.append(PatchRow(f"{kind[0]} {item.channel}", [note], [tile(patch) for patch in item.patches]))
    chosen = f"all {total} {kind[1]}" if len(rows) == total else f"{len(rows)} of {total} {kind[1]}"
    if len(rows) < total - len(found.dead):
        chosen += ", those that stand out most"
    return plots.patch_rows(
        rows,
        title,
        f"{chosen[0].upper()}{chosen[1:]}; of {among} the strongest: {sight}.",
        f"{several} dead, never above 0 on {among}: {dead}." if found.dead else "",
    )
