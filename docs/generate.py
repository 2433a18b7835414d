"""Writes the parts of README and docs that the program knows best; with --check, says which are stale (exit 1)."""

import contextlib
import inspect
import io
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

sys.path.insert(0, str(Path(__file__).parent.parent))  # this checkout, not another that is installed

from benchmarks import ablation_table, explain_tables, numpy_tables, page_tables, service_tables, training_tables
from convscope.cli import main
from convscope.config import RunConfig, load_config, recipe_names
from convscope.doctor import CHECKS
from convscope.registry import DATASETS, METHODS, MODELS
from convscope.service.settings import Settings, flag, variable

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MEASURED = ROOT / "benchmarks" / "results"
NOT_YET = "Not measured yet."
COMMANDS = [
    "train",
    "evaluate",
    "predict",
    "explain",
    "look",
    "prove",
    "audit",
    "verify",
    "doctor",
    "export",
    "serve",
    "smoke",
    "data",
    "data list",
    "data info",
    "data fetch",
]


def help_text(command: str = "") -> str:
    """What `convscope COMMAND --help` prints, 100 columns wide."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        main([*command.split(), "--help"])
    return f"```\n$ convscope {command + ' ' if command else ''}--help\n{text.getvalue().strip()}\n```"


def first_line(reference: str) -> str:
    """The first sentence of what a registry entry stands for."""
    return str(inspect.getdoc(reference)).splitlines()[0]


def models() -> str:
    """A row a model: its name, its options with defaults, what it is."""
    rows = []
    for name in MODELS:
        model = MODELS.load(name)
        options = list(inspect.signature(model).parameters.values())[2:]
        rows.append([f"`{name}`", ", ".join(f"`{o.name}={o.default}`" for o in options) or "–", first_line(model)])
    return table(["model", "options", "what it is"], rows)


def data_sets() -> str:
    """A row a data set."""
    return table(["data set", "what it is"], [[f"`{name}`", first_line(DATASETS.load(name))] for name in DATASETS])


def methods() -> str:
    """A row an explanation method."""
    return table(["method", "what it is"], [[f"`{name}`", first_line(METHODS.load(name))] for name in METHODS])


def doctor() -> str:
    """A row a check of `convscope doctor`."""
    rows = [[f"`{name}`", about, what] for about, checks in CHECKS.items() for name, what in checks.items()]
    return table(["check", "of", "recognises"], rows)


def recipes() -> str:
    """A row a recipe."""
    rows = []
    for name in recipe_names():
        config = load_config(name)
        rows.append([f"`{name}`", f"`{config.model.name}` on `{config.data.name}`, {config.train.epochs} epochs"])
    return table(["recipe", "what it trains"], rows)


def configuration(section: type[BaseModel] = RunConfig, prefix: str = "") -> str:
    """A row a configuration key: name, default, meaning."""
    return table(["key", "default", "meaning"], list(configuration_rows(section, prefix)))


def configuration_rows(section: type[BaseModel], prefix: str) -> list[list[str]]:
    """The rows of one section and of those inside it."""
    rows = []
    for name, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            rows += configuration_rows(inner, f"{prefix}{name}.")
        elif prefix:
            default = "null" if field.default is None else str(field.default).lower()
            rows.append([f"`{prefix}{name}`", f"`{default}`", choices(inner) + str(field.description)])
    return rows


def service_settings() -> str:
    """A row a setting of `convscope serve`."""
    rows = []
    for name, field in Settings.model_fields.items():
        given = "`[RUN]...`" if name == "runs" else "–" if name == "api_key" else f"`{flag(name)}`"
        default = "`cifar10-94`" if name == "runs" else "–" if field.default is None else f"`{field.default}`".lower()
        rows.append([given, f"`{variable(name)}`", default, str(field.description)])
    return table(["flag", "variable", "default", "meaning"], rows)


def choices(annotation: object) -> str:
    """The values that a Literal allows."""
    values = getattr(annotation, "__args__", ())
    return ", ".join(f"`{v}`" for v in values) + ". " if values and all(isinstance(v, str) for v in values) else ""


def speed() -> str:
    """What benchmarks/bench_numpy_nn.py measured last: the machine, its tables, its chart."""
    if (result := measured("numpy_nn")) is None:
        return NOT_YET
    environment = result["environment"]
    tables = [table(header, rows) for header, *rows in (of(result) for of in numpy_tables.TABLES.values())]
    words = "How the time of a convolution grows with size and channels: Python loops, im2col, PyTorch and numpy_nn"
    return "\n\n".join(
        [
            f"`{environment['command']}`, {numpy_tables.describe(environment)}",
            *tables,
            f"![{words}](images/numpy_nn.png)",
        ]
    )


def training_speed() -> str:
    """What benchmarks/bench_training.py measured last: the machine and its tables."""
    if (result := measured("training")) is None:
        return NOT_YET
    environment = result["environment"]
    tables = [table(header, rows) for header, *rows in (of(result) for of in training_tables.TABLES.values())]
    return "\n\n".join([f"`{environment['command']}`: {training_tables.describe(environment)}", *tables])


def explanation_speed() -> str:
    """What benchmarks/bench_explain.py measured last: the machine and its tables."""
    if (result := measured("explain")) is None:
        return NOT_YET
    environment = result["environment"]
    tables = [table(header, rows) for header, *rows in (of(result) for of in explain_tables.TABLES.values())]
    return "\n\n".join([f"`{environment['command']}`: {explain_tables.describe(environment)}", *tables])


def service_speed() -> str:
    """What benchmarks/bench_service.py measured last: the machine, its tables, its chart."""
    if (result := measured("service")) is None:
        return NOT_YET
    environment = result["environment"]
    tables = [table(header, rows) for header, *rows in (of(result) for of in service_tables.TABLES.values())]
    words = "Pictures a second, milliseconds until the answer and memory of the service against clients at once"
    return "\n\n".join(
        [
            f"`{environment['command']}`: {service_tables.describe(environment)}",
            *tables,
            f"![{words}](images/service.png)",
        ]
    )


def page_speed() -> str:
    """What benchmarks/bench_page.py measured last: the machine and its table."""
    if (result := measured("page")) is None:
        return NOT_YET
    environment = result["environment"]
    tables = [table(header, rows) for header, *rows in (of(result) for of in page_tables.TABLES.values())]
    return "\n\n".join([f"`{environment['command']}`: {page_tables.describe(environment)}", *tables])


def ablation() -> str:
    """What benchmarks/bench_ablation.py has measured: a row an idea."""
    if (result := measured("ablation")) is None:
        return NOT_YET
    header, *rows = ablation_table.table(result["rows"])
    return f"{ablation_table.describe(result['rows'])}\n\n{table(header, rows)}"


def measured(name: str) -> Any:
    """What a benchmark wrote into its file, None where it has not been run."""
    file = MEASURED / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


PARTS = {
    "help": help_text,
    "commands": lambda: "\n\n".join(f"## {command}\n\n{help_text(command)}" for command in COMMANDS),
    "models": models,
    "data sets": data_sets,
    "methods": methods,
    "doctor": doctor,
    "recipes": recipes,
    "configuration": configuration,
    "service settings": service_settings,
    "speed": speed,
    "training speed": training_speed,
    "explanation speed": explanation_speed,
    "service speed": service_speed,
    "page speed": page_speed,
    "ablation": ablation,
}


def regenerate(text: str) -> str:
    """`text` with everything between `<!-- begin PART -->` and `<!-- end PART -->` written anew."""

    def part(match: re.Match[str]) -> str:
        name = match.group(1)
        return f"<!-- begin {name} -->\n{PARTS[name]()}\n<!-- end {name} -->"

    return re.sub(r"<!-- begin ([a-z ]+) -->\n.*?<!-- end \1 -->", part, text, flags=re.DOTALL)


def broken_links(page: Path) -> list[str]:
    """Relative links of a page that lead nowhere."""
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    return [t for t in targets if "://" not in t and not (page.parent / t).exists()]


if __name__ == "__main__":
    os.environ["COLUMNS"] = "100"
    check = "--check" in sys.argv
    problems = []
    for page in PAGES:
        old = page.read_text(encoding="utf-8")
        new = regenerate(old)
        if new != old and check:
            problems.append(f"{page.relative_to(ROOT)} is stale: run python docs/generate.py")
        elif new != old:
            page.write_text(new, encoding="utf-8")
        problems += [f"{page.relative_to(ROOT)} links to {target}, which is not there" for target in broken_links(page)]
    print("\n".join(problems) or f"docs: {len(PAGES)} pages {'tell the truth' if check else 'written'}")
    sys.exit(bool(problems))
