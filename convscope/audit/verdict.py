"""Numbers of an audit in, plain words out: of a method against the controls, and of what became of its maps."""

from collections.abc import Mapping, Sequence

from convscope.audit.contest import CURVES, Interval

CONTROLS = {"random": "noise", "centred Gaussian": "the blob in the middle", "edge detector": "the edge detector"}

Outcome = tuple[tuple[str, ...], tuple[str, ...]]  # curves in which the method wins and loses


def outcome(gains: Mapping[str, Interval]) -> Outcome:
    """The curves in which the whole interval lies above 0, and those in which it lies below."""
    won = tuple(curve for curve in CURVES if gains[curve].low > 0)
    return won, tuple(curve for curve in CURVES if gains[curve].high < 0)


def verdict(gains: Mapping[str, Mapping[str, Interval]]) -> str:
    """A sentence on the gains over each control: which it beats, in which curves."""
    alike: dict[Outcome, list[str]] = {}
    for control, over in gains.items():
        alike.setdefault(outcome(over), []).append(CONTROLS.get(control, control))
    order = sorted(alike, key=lambda found: (-len(found[0]), len(found[1])))
    clauses = [_clause(found, listed(alike[found])) for found in order]
    text = "; ".join(clauses)
    return f"{text[:1].upper()}{text[1:]}."


def beats_all(gains: Mapping[str, Mapping[str, Interval]]) -> bool:
    """Whether it beats every control in every curve."""
    return all(len(outcome(over)[0]) == len(CURVES) for over in gains.values())


def listed(words: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _clause(found: Outcome, control: str) -> str:
    won, lost = found
    level = tuple(curve for curve in CURVES if curve not in won + lost)
    if len(won) == len(CURVES):
        return f"beats {control} in all three curves"
    if len(lost) == len(CURVES):
        return f"loses to {control} in all three curves"
    rest = (f", not in {listed(level)}" if level else "") + (f", loses in {listed(lost)}" if lost else "")
    if won:
        return f"beats {control} in {listed(won)}{rest}"
    if lost:
        return f"loses to {control} in {listed(lost)}" + (f", is level in {listed(level)}" if level else "")
    return f"is no better than {control}"
