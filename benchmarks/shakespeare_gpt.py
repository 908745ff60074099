"""A GPT on Tiny Shakespeare at the size and number of steps of nanoGPT's CPU or GPU setting.

    TEXTGEN_DATA=DIR python -m benchmarks.shakespeare_gpt [--seeds 3] [--out FILE]
    TEXTGEN_DATA=DIR TEXTGEN_PRECISION=mixed_bfloat16 \\
        python -m benchmarks.shakespeare_gpt --setting gpu --seeds 1 [--out FILE]

For each optimizer and seed: the learning curve, the loss of the whole validation part (every
character scored once), and the loss by nanoGPT's convention (random windows). Finished runs stay
in the file, so that a run that was stopped goes on.

Source of the setting: A. Karpathy, nanoGPT, 2022.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from pathlib import Path

import keras

from benchmarks import records
from textgen_utils import evaluation, runtime, training
from textgen_utils.corpora import shakespeare
from textgen_utils.files import write_atomically
from textgen_utils.models.transformer import GPT
from textgen_utils.tokenizers import Characters

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/gradient_methods/records/shakespeare_gpt.json"
SETTINGS = {"width": 128, "heads": 4, "depth": 4, "context": 64, "batch_size": 12, "steps": 2000}
GPU_SETTINGS = {
    "width": 384,
    "heads": 6,
    "depth": 6,
    "context": 256,
    "batch_size": 64,
    "steps": 5000,
    "dropout": 0.2,
}
# Learning rates: AdamW's is nanoGPT's; Muon's was the best of three on the Keras manual.
RATES = {"AdamW": 1e-3, "Muon": 1e-2}
PUBLISHED = 1.88
GPU_PUBLISHED = 1.4697


def optimizer(name: str, steps: int) -> keras.optimizers.Optimizer:
    """Return nanoGPT's AdamW, or Muon with the same schedule."""
    schedule = training.warmup_cosine(RATES[name], steps, warmup=min(100, steps // 2))
    if name == "AdamW":
        return training.adam(schedule, weight_decay=0.1)
    return training.muon(schedule)


def network(settings: dict, vocab_size: int, boundary: int, seed: int) -> GPT:
    """Return a new model of a setting."""
    return GPT(
        vocab_size,
        max_context=settings["context"],
        width=settings["width"],
        heads=settings["heads"],
        depth=settings["depth"],
        dropout=settings.get("dropout", 0.0),
        boundary=boundary,
        seed=seed,
    )


def run(name: str, seed: int, settings: dict) -> dict:
    """Train once and return curve and losses, nats per character."""
    runtime.setup(seed=seed)
    corpus = shakespeare.load()
    tokenizer = Characters.fit(corpus.train)
    train_ids, valid_ids = tokenizer.encode(corpus.train), tokenizer.encode(corpus.valid)
    model = network(settings, tokenizer.vocab_size, tokenizer.boundary, seed)
    curve = training.train(
        model,
        train_ids,
        valid_ids,
        steps=settings["steps"],
        window=settings["context"],
        batch_size=settings["batch_size"],
        optimizer=optimizer(name, settings["steps"]),
        eval_every=settings["steps"] // 8,
        seed=seed,
        jit_compile=True,
    )
    windows = evaluation.random_window_loss(model, valid_ids, settings["context"], 500, seed=0)
    return {
        "optimizer": name,
        "seed": seed,
        "parameters": model.count_params(),
        "full_validation": evaluation.evaluate(model, valid_ids).nats_per_token,
        "random_windows": windows.nats_per_token,
        "curve": {"steps": curve.steps, "valid": curve.valid, "seconds": curve.seconds},
    }


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing, and write the record after each run."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--setting", choices=("cpu", "gpu"), default="cpu")
    chosen, rest = parser.parse_known_args(arguments)
    gpu = chosen.setting == "gpu"
    settings = GPU_SETTINGS if gpu else SETTINGS
    options = records.options(
        __doc__, RECORD.with_stem(f"{RECORD.stem}_gpu") if gpu else RECORD, rest
    )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    runs = json.loads(options.out.read_text())["runs"] if options.out.exists() else []
    done = {(r["optimizer"], r["seed"]) for r in runs}
    for seed in range(1, options.seeds + 1):
        for name in RATES:
            if (name, seed) in done:
                continue
            runs.append(run(name, seed, settings))
            record = {
                "command": f"python -m benchmarks.shakespeare_gpt{' --setting gpu' if gpu else ''} "
                f"--seeds {options.seeds}",
                "date": datetime.date.today().isoformat(),
                "machine": runtime.device_report(),
                "python": sys.version.split()[0],
                "settings": settings,
                "learning_rates": RATES,
                "published": GPU_PUBLISHED if gpu else PUBLISHED,
                "runs": runs,
            }
            write_atomically(options.out, json.dumps(record, indent=1) + "\n")
            print(f"{name}, seed {seed}: {runs[-1]['full_validation']:.4f} nats per character")


if __name__ == "__main__":
    main()
