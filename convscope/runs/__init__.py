"""The run folder: the one place where training and use meet; a run is rebuilt from its checkpoint alone."""

from convscope.runs.run import Run, load_run
from convscope.runs.shipped import find_run

__all__ = ["Run", "find_run", "load_run"]
