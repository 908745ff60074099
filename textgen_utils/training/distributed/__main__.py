"""Train the translation of reviews with several GPUs or processes, on this machine or on several.

    python -m textgen_utils.training.distributed --gpus 2 --out runs/reviews

One process then gives each GPU its share of every batch. Without GPUs, `--logical-cpus 2` runs the
same on parts of the CPU, and processes of their own, which speak over the network, are

    python -m textgen_utils.training.distributed --workers 2 --out runs/reviews

A run that was stopped goes on when the same command is given again. On several machines, the same
command is given on each, with its own index (the folder of index 0 is the one that is written):

    python -m textgen_utils.training.distributed --out runs/reviews \
        --cluster 10.0.0.1:2222,10.0.0.2:2222 --index 0

The workers' ports are open to anyone who can reach them: use a network that you trust.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path

from textgen_utils.runtime import progress_bar
from textgen_utils.training.distributed.cluster import Cluster
from textgen_utils.training.distributed.launcher import WorkerFailedError, launch
from textgen_utils.training.distributed.reviews_task import ReviewsTask


def main(arguments: list[str] | None = None) -> int:
    """Start the workers, show how far they are, and return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        task = ReviewsTask(**{f.name: getattr(options, f.name) for f in fields(ReviewsTask)})
        here, indices = _cluster(options)
    except ValueError as error:
        parser.error(str(error))
    with here as cluster, progress_bar("training", total=task.steps) as bar:
        show = Progress(cluster, bar, task.steps)
        try:
            launch(
                worker_command(options.out, task, _devices(options)),
                cluster,
                indices,
                silence=options.silence,
                threads=options.threads,
                on_message=show,
            )
        except WorkerFailedError as error:
            bar.close()
            print(f"{error}\nThe same command goes on from the last checkpoint.", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
    print(f"done: {options.out} holds the curve and the best weights")
    return 0


def worker_command(out: Path, task: ReviewsTask, devices: str | None = None) -> list[str]:
    """Return what the launcher runs for each worker; `devices`: see `worker.work`."""
    module = "textgen_utils.training.distributed.worker"
    command = [sys.executable, "-m", module, str(out), json.dumps(task.settings)]
    return command if devices is None else [*command, devices]


class Progress:
    """Shows the workers' messages: each start and each evaluation by a line, steps by a bar."""

    def __init__(self, cluster: Cluster, bar: object, steps: int) -> None:
        self.cluster, self.bar, self.steps = cluster, bar, steps

    def __call__(self, index: int, message: dict) -> None:
        """Show one message."""
        if "process" in message:
            self._line(f"worker {index}: process {message['process']}, {self._address(index)}")
        elif "resumed" in message:
            self._line(f"goes on from the checkpoint of step {message['resumed']}")
        elif "valid" in message:
            self._line(
                f"step {message['step']} of {self.steps}: {message['loss']:.4f} in training, "
                f"{message['valid']:.4f} in validation, nats per token; {message['seconds']:.1f} s"
            )
        elif "step" in message:
            self.bar.update(message["step"] - self.bar.n)

    def _address(self, index: int) -> str:
        return self.cluster.addresses[index]

    def _line(self, text: str) -> None:
        self.bar.clear()
        print(text, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m textgen_utils.training.distributed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--workers", type=int, help="processes on this machine; default: 2")
    where.add_argument("--gpus", type=int, help="GPUs of this machine, in one process")
    where.add_argument("--logical-cpus", type=int, help="parts of the CPU, in one process")
    where.add_argument("--cluster", help="host:port of every worker, with commas between")
    parser.add_argument("--index", type=int, help="with --cluster: the worker to run here")
    parser.add_argument("--out", type=Path, required=True, help="folder for what is written")
    parser.add_argument("--threads", type=int, help="of each worker; default: the cores, shared")
    parser.add_argument(
        "--silence", type=float, default=120.0, help="seconds without a word before all is stopped"
    )
    for field in fields(ReviewsTask):
        name = "--" + field.name.replace("_", "-")
        parser.add_argument(name, type=type(field.default), default=field.default)
    return parser


def _devices(options: argparse.Namespace) -> str | None:
    """Return the devices of a single process, or None for workers."""
    if options.gpus is not None:
        return f"GPU:{options.gpus}"
    return None if options.logical_cpus is None else f"CPU:{options.logical_cpus}"


def _cluster(options: argparse.Namespace) -> tuple:
    """Return a context that gives the cluster, and the indices to run here."""
    if options.silence <= 0 or (options.threads is not None and options.threads < 1):
        raise ValueError("--silence and --threads must be positive")
    if options.cluster is None:
        if options.index is not None:
            raise ValueError("--index says which worker of a --cluster this is; give both")
        names = ("gpus", "logical_cpus", "workers")
        name = next((n for n in names if getattr(options, n) is not None), "workers")
        number = getattr(options, name)
        number = 2 if number is None else number
        if number < 1 or options.batch_size % number:
            raise ValueError(
                f"--{name.replace('_', '-')} must be at least 1, and --batch-size a multiple of "
                f"it; got {number} and {options.batch_size}"
            )
        return Cluster.on_this_machine(number if name == "workers" else 1), None
    cluster = Cluster(tuple(options.cluster.split(",")))
    if options.index is None:
        raise ValueError("--cluster needs --index: which of the addresses is this machine?")
    cluster.tf_config(options.index)
    if options.batch_size % len(cluster):
        raise ValueError(
            f"--batch-size must be a multiple of the {len(cluster)} workers, "
            f"got {options.batch_size}"
        )
    return nullcontext(cluster), [options.index]


if __name__ == "__main__":
    sys.exit(main())
