"""Runs in; the models that the service answers with out, each by its name."""

from collections.abc import Sequence
from dataclasses import dataclass

from convscope.runs import Run
from convscope.service.problems import Problem


@dataclass(frozen=True, eq=False)
class Served:
    """A run under the name that clients call it by; `sha256` is that of its weights file."""

    name: str
    sha256: str
    run: Run


class Models:
    """What is served, by name; the first is the default."""

    def __init__(self, served: Sequence[Served]) -> None:
        self._served = {one.name: one for one in served}

    @property
    def names(self) -> tuple[str, ...]:
        """Every model, the default first."""
        return tuple(self._served)

    def get(self, name: str | None = None) -> Served:
        """The model of that name, None for the default; a 404 that lists the choices if there is none."""
        found = self._served.get(self.names[0] if name is None else name)
        if found is None:
            raise Problem(404, "unknown_model", f"unknown model {name!r:.100}; choose from {', '.join(self.names)}")
        return found
