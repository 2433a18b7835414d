"""The run folder: the one place where training and use meet; a run is rebuilt from its checkpoint alone."""

from convscope.runs.run import Run, check_folder, load_run

__all__ = ["Run", "check_folder", "load_run"]
