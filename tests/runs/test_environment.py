"""The environment names the command that made the run where there was one, and the packages that computed."""

import json
import os
import shlex
import subprocess
import sys
from typing import Any

import pytest
import torch

from convscope.runs.environment import describe_environment

PROGRAM = """\
import json, sys
from convscope.runs.environment import describe_environment
commands = []
for sys.argv in json.loads(sys.argv[1]):
    commands.append(describe_environment("cpu")["command"])
print(json.dumps(commands))
"""


@pytest.mark.skipif(os.name != "posix", reason="quoted for a POSIX shell")
def test_the_command_is_on_record_where_convscope_was_the_program() -> None:
    words = ["train", "my recipe.yaml", "--set", "data.augment={crop: 1}"]
    programs = ["/usr/bin/convscope", "/lib/convscope/__main__.py", "/home/me/study.py", "/lib/pytest/__main__.py"]
    vectors = json.dumps([[program, *words] for program in programs])
    done = subprocess.run([sys.executable, "-c", PROGRAM, vectors], capture_output=True, text=True, check=True)
    script, module, *others = json.loads(done.stdout)
    assert shlex.split(script) == shlex.split(module) == ["convscope", *words]
    assert others == [None, None]


def test_what_computed_is_named() -> None:
    found: dict[str, Any] = describe_environment("cpu")
    assert found["device"] == "cpu"
    assert (found["threads"], found["cores"]) == (torch.get_num_threads(), os.cpu_count())
    assert found["packages"]["torch"] == torch.__version__
    assert found["python"] == sys.version.split()[0]
