"""A longer run of the LSTM of *What does a network add?* on English reviews, recorded.

    python -m benchmarks.reviews_lstm [--steps 2400] [--out FILE]

Writes the learning curve, the distance to the truth, the versions, the machine and the date. The
page reads the file; nothing in it is typed by hand. A run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from pathlib import Path

from textgen_utils import evaluation, runtime, training
from textgen_utils.corpora.reviews import Reviews
from textgen_utils.files import write_atomically
from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.tokenizers import Characters

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/cross_entropy/records/reviews_lstm.json"
SETTINGS = {"width": 192, "window": 144, "batch_size": 48, "learning_rate": 0.02}


def run(steps: int, checkpoint: Path | None = None) -> dict:
    """Train with the settings of the page for `steps` steps and return the record."""
    runtime.setup(seed=3)
    reviews = Reviews()
    train_text, valid_text = (
        reviews.text(n, seed=seed, language="en") for n, seed in ((100_000, 1), (500, 2))
    )
    tokenizer = Characters.fit(train_text)
    train_ids, valid_ids = tokenizer.encode(train_text), tokenizer.encode(valid_text)
    model = LSTMLanguageModel(
        tokenizer.vocab_size,
        width=SETTINGS["width"],
        boundary=tokenizer.boundary,
        memory=SETTINGS["window"],
        seed=1,
    )
    schedule = training.warmup_cosine(SETTINGS["learning_rate"], steps, final=0.02)
    curve = training.train(
        model,
        train_ids,
        valid_ids,
        steps=steps,
        window=SETTINGS["window"],
        batch_size=SETTINGS["batch_size"],
        optimizer=training.muon(schedule),
        eval_every=steps // 12,
        lines=True,
        checkpoint=checkpoint,
        seed=1,
    )
    oracle = reviews.oracle("en", tokens=tokenizer.tokens)
    truth = evaluation.evaluate(oracle, valid_ids, lines=True).nats_per_token
    loss = evaluation.evaluate(model, valid_ids, lines=True).nats_per_token
    return {
        "settings": {**SETTINGS, "steps": steps},
        "truth": truth,
        "loss": loss,
        "above_truth_percent": 100 * (loss / truth - 1),
        "curve": {"steps": curve.steps, "valid": curve.valid, "seconds": curve.seconds},
    }


def main(arguments: list[str] | None = None) -> None:
    """Run, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--out", type=Path, default=RECORD)
    options = parser.parse_args(arguments)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    checkpoint = options.out.with_suffix(".checkpoint")
    record = {
        "command": f"python -m benchmarks.reviews_lstm --steps {options.steps}",
        "date": datetime.date.today().isoformat(),
        "machine": runtime.device_report(),
        "python": sys.version.split()[0],
        **run(options.steps, checkpoint),
    }
    write_atomically(options.out, json.dumps(record, indent=1) + "\n")
    checkpoint.unlink(missing_ok=True)
    print(f"{record['above_truth_percent']:.2f} % above the truth: {options.out}")


if __name__ == "__main__":
    main()
