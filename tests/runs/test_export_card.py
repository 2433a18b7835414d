"""The card of an export gives the facts that its files hold, and leaves out what nobody wrote down."""

import hashlib
import json

from convscope.runs import Run


def test_the_card_says_which_weights_these_are(exported_run: Run) -> None:
    card = (exported_run.path / "README.md").read_text(encoding="utf-8")
    results, folder = exported_run.results, exported_run.path
    record = json.loads((folder / "environment.json").read_text())
    accuracy = f"{100 * results['test_accuracy']:.2f}\N{NO-BREAK SPACE}%"
    for said in (
        f"These weights classify {accuracy} of 360 held-out test pictures",
        "| recipe | digits, seed 0 |",
        "| model | tiny-resnet (base_channels=8), 10,978 parameters |",
        hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        f"{(folder / 'model.safetensors').stat().st_size:,} bytes, of epoch {exported_run.checkpoint['epoch']} |",
        "| training | 3 epochs of sgd, ",
        record["processor"],
        f"Python {record['python']}, convscope {record['packages']['convscope']}",
        f"| test pictures | fingerprint `{record['pictures']['test']}` |",
        "steps in float32",
        "convscope evaluate tiny\n",
    ):
        assert said in card
    assert "test-time augmentation" not in card
    assert "| command |" not in card  # it was called from Python
