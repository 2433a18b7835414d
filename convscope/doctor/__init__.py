"""The classic mistakes, recognised: a machine, a model with a batch, or a run folder in, a list of findings out.

`examine` is for your own model and batch; `examine_environment` and `examine_run` are what `convscope doctor` prints.
"""

from convscope.doctor.environment import examine_environment
from convscope.doctor.finding import CHECKS, Finding, Severity
from convscope.doctor.model import examine
from convscope.doctor.run import examine_run

__all__ = ["CHECKS", "Finding", "Severity", "examine", "examine_environment", "examine_run"]
