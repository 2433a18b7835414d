"""The commands of `convscope`; each parses its arguments, calls one function and prints what it gave."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from convscope import __version__
from convscope.cli.audit import audit
from convscope.cli.data import data
from convscope.cli.explain import explain
from convscope.cli.export import export
from convscope.cli.look import look
from convscope.cli.options import DataDir, Json, RunFolder
from convscope.cli.serve import serve
from convscope.errors import UsageError

app = typer.Typer(
    help="Open up a convolutional network: train it, explain it, prove it in NumPy.",
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"convscope {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback where an error would be one line.")] = False,
) -> None:
    """Options that come before a command; `--debug` may stand anywhere, so `main` takes it out."""


@app.command()
def train(
    recipe: Annotated[
        str | None, typer.Argument(metavar="RECIPE", help="A shipped recipe's name or a YAML file.", show_default=False)
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override one key, e.g. train.epochs=5; repeatable."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The run folder to make.", show_default="runs/<recipe>-<date>-<time>"),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Go on with a training that broke off, in place.", show_default=False),
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Train a network and keep it in a run folder.

    Ctrl-C and SIGTERM finish the step and save; --resume goes on from there, on a CPU bit for bit. With it, a RECIPE
    is not needed; one that contradicts the run is refused.
    """
    import convscope.train as training
    from convscope.cli import show
    from convscope.config import load_config
    from convscope.runs.artifacts import CONFIG

    changes = set_ or []
    if resume is not None:
        if out is not None:
            raise UsageError(f"--resume {resume} goes on in place; leave --out away")
        there = (resume / CONFIG).is_file()  # else `resume` says that there is no run, whatever else was asked
        asked = load_config(recipe or resume / CONFIG, changes) if there and (recipe or changes) else None
        run = training.resume(resume, asked, data_dir=data_dir, progress=True)
    elif recipe is None:
        raise UsageError("Missing argument 'RECIPE': a shipped name or a YAML file, or --resume RUN")
    else:
        run = training.train(load_config(recipe, changes), out=out, data_dir=data_dir, progress=True)
    show.results(run.results, json)


@app.command()
def evaluate(
    run: RunFolder,
    tta: Annotated[
        bool, typer.Option("--tta", help="Also the accuracy with test-time augmentation, as always with train.tta.")
    ] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Accuracy on the held-out test set, class by class.

    Prints the per-class table, the most confused pairs and the confusion matrix. Refuses where the pictures have
    changed since the training, so that the test set may hold some that the network learned from.

    --tta adds the accuracy of test-time augmentation, the mean over six views of each picture, three of them
    mirrored: not for digits or letters. It takes six times as long; the tables stay without it.
    """
    from convscope.cli import show
    from convscope.evaluate import evaluate_held_out, summary
    from convscope.runs import load_run

    opened = load_run(run)
    evaluation, changed = evaluate_held_out(opened, data_dir, tta)
    show.evaluation(summary(opened, evaluation), evaluation, changed, json)


@app.command()
def predict(
    run: RunFolder,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Picture files of any size.")],
    top: Annotated[int, typer.Option(min=1, help="How many classes to show for each.")] = 3,
    json: Json = False,
) -> None:
    """Label picture files, with probabilities.

    A file that cannot be read is named on standard error; the others are labelled, and the exit code is 1.
    """
    from convscope.cli import show
    from convscope.predict import predict_each
    from convscope.runs import load_run

    opened = load_run(run)
    if not show.predictions(opened, predict_each(opened, images, top), json):
        raise typer.Exit(1)


app.command()(explain)
app.command()(look)


@app.command()
def prove(
    run: RunFolder,
    images: Annotated[
        str, typer.Option(metavar="N|all", help="How many pictures of the test set to replay, the first N.")
    ] = "64",
    gradients: Annotated[
        bool,
        typer.Option("--gradients", help="Go backward too, on up to 16 pictures: gradients, steps, Grad-CAM."),
    ] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Replay the network in NumPy, layer by layer.

    Prints the largest difference from PyTorch at every layer; exits 1 where float32 rounding cannot explain one.
    --gradients compares, in float64, every gradient in train and in eval mode, two steps of SGD with momentum under
    the run's settings, BatchNorm's running statistics, and the Grad-CAM map.
    """
    from convscope.cli import verdicts
    from convscope.evaluate import check_fit
    from convscope.proof import prove
    from convscope.runs import load_run
    from convscope.runs.own_pictures import own_pictures

    if images != "all" and not (images.isdecimal() and int(images)):
        raise UsageError(f"--images got {images!r}: expected a whole number of at least 1, or all")
    opened = load_run(run)
    own = own_pictures(opened, data_dir)
    check_fit(opened, own.test)
    test, count = own.test, len(own.test) if images == "all" else int(images)
    if count > len(test):
        print(f"only {len(test):,} test pictures; all are replayed", file=sys.stderr)
    proof = prove(opened, test.images[:count], labels=test.labels[:count] if gradients else None)
    verdicts.proof(opened, proof, own.warn("test"), json)
    if not proof.ok:
        raise typer.Exit(1)


app.command()(audit)


@app.command()
def verify(run: RunFolder, data_dir: DataDir = None, json: Json = False) -> None:
    """Check every artefact of a run.

    Each must exist, open, have the right shapes and the hash on record, and the accuracies must come out again from
    best.pt, if the data set is on this machine; exits 1 with the list.
    """
    from convscope.cli import verdicts
    from convscope.verify import verify

    report = verify(run, data_dir)
    verdicts.verification(run, report, json)
    if not report.ok:
        raise typer.Exit(1)


@app.command()
def doctor(
    run: Annotated[
        Path | None,
        typer.Argument(metavar="RUN", help="A run as `verify` takes it, or an unfinished one.", show_default=False),
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Find the classic mistakes, and say what to do about each.

    Looks at this machine and, with RUN, at the run: checkpoint, training, pictures, and the model on test pictures.
    Exits 1 where there is a problem. For a model and a batch of your own: convscope.doctor.examine.
    """
    from convscope.cli import verdicts
    from convscope.doctor import examine_environment, examine_run

    groups = {} if run is None else {str(run): examine_run(run, data_dir)}
    if not verdicts.findings({"this machine": examine_environment(), **groups}, json):
        raise typer.Exit(1)


app.command()(export)
app.command()(serve)


@app.command()
def smoke(json: Json = False) -> None:
    """Check that a network learns on this machine.

    Trains on 512 balanced synthetic pictures for five epochs; exits 1 unless the loss falls and the accuracy passes.
    """
    from convscope.cli import verdicts
    from convscope.smoke import smoke

    result = smoke()
    verdicts.smoke(result, json)
    if not result.ok:
        raise typer.Exit(1)


app.add_typer(data)
