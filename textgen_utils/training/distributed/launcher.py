"""Starts the workers of a cluster, watches them, and never leaves one behind."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any

from textgen_utils.runtime import cores
from textgen_utils.training.distributed.cluster import HERE, Cluster
from textgen_utils.training.distributed.messages import LOST, receive

Message = dict[str, Any]
# A worker that sees another one gone may abort; that is an effect and not the cause.
EFFECTS = (LOST, -signal.SIGABRT)
# Reads the numbers of process groups until the launcher is gone, and then ends these groups.
GUARD = 'while read -r n; do groups="$groups $n"; done; for n in $groups; do kill -9 "-$n"; done'


class WorkerFailedError(RuntimeError):
    """A worker died, gave up, or was silent for too long; no worker runs any more."""


@dataclass
class Worker:
    """One started process.

    Attributes:
        index: its place in the cluster.
        process: of a group of its own, so that it ends with all that it has started.
        errors: what it writes on stderr.
        listener: passes on what it writes on stdout, and ends after the last line.
        complaint: the error that it has told of, if any.
    """

    index: int
    process: subprocess.Popen
    errors: IO[str]
    listener: threading.Thread | None = None
    complaint: str = ""

    def last_words(self, lines: int = 12) -> str:
        """Return the end of what it wrote on stderr."""
        self.errors.flush()
        self.errors.seek(0)
        return "\n".join(self.errors.read().splitlines()[-lines:])


def launch(
    command: Sequence[str],
    cluster: Cluster,
    indices: Sequence[int] | None = None,
    *,
    silence: float = 120.0,
    threads: int | None = None,
    on_message: Callable[[int, Message], None],
) -> None:
    """Run one command as several workers, and return when all have ended well.

    Whatever happens (a worker dies, hangs or never starts, this process is interrupted or killed)
    no worker survives.

    Args:
        command: what each worker runs; it learns its place from TF_CONFIG, and calls
            `messages.send` more often than every `silence` seconds.
        cluster: all workers.
        indices: those that this machine is to run; None: all.
        silence: seconds without a word from any of them after which they are stopped.
        threads: of each worker; None: the cores, shared.
        on_message: told of each message, with the index of its worker. {"error": text} is kept
            for the report of the failure instead.

    Raises:
        ValueError: if an index, or a number, is out of range.
        WorkerFailedError: says which worker failed first, and how.
    """
    indices = range(len(cluster)) if indices is None else indices
    if not indices or silence <= 0 or (threads is not None and threads < 1):
        raise ValueError(
            "there must be an index, and silence and threads must be positive; "
            f"got {list(indices)}, {silence}, {threads}"
        )
    threads = threads or max(1, cores() // len(indices))
    environments = [_environment(cluster, index, threads) for index in indices]
    inbox: queue.Queue = queue.Queue()
    workers: list[Worker] = []
    with _termination_raises(), _guard() as guard:
        try:
            for index, environment in zip(indices, environments, strict=True):
                workers.append(_start(command, index, environment, inbox))
                guard.write(f"{workers[-1].process.pid}\n")
                guard.flush()
                on_message(index, {"process": workers[-1].process.pid})
            _watch(workers, inbox, silence, on_message)
        finally:
            _stop(workers)


def _environment(cluster: Cluster, index: int, threads: int) -> dict[str, str]:
    hosts = ",".join(dict.fromkeys([*cluster.hosts, HERE]))
    mine = {
        "TF_CONFIG": cluster.tf_config(index),
        "KERAS_BACKEND": "tensorflow",
        "TF_GRPC_REUSE_PORT": "true",
        "no_grpc_proxy": hosts,
    }
    if len(cluster) > 1 and set(cluster.hosts) == {HERE}:
        # Processes that share a machine would each take all of its GPUs.
        mine["CUDA_VISIBLE_DEVICES"] = "-1"
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    mine |= dict.fromkeys(names, str(threads))
    return {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ, **mine}


def _start(
    command: Sequence[str], index: int, environment: dict[str, str], inbox: queue.Queue
) -> Worker:
    errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 (closed by _stop)
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        start_new_session=True,
    )
    worker = Worker(index, process, errors)

    def listen() -> None:
        for line in process.stdout:
            inbox.put((worker, receive(line)))

    worker.listener = threading.Thread(target=listen, daemon=True)
    worker.listener.start()
    return worker


def _watch(
    workers: list[Worker],
    inbox: queue.Queue,
    silence: float,
    on_message: Callable[[int, Message], None],
) -> None:
    heard = time.monotonic()
    while True:
        ended = [worker for worker in workers if worker.process.poll() is not None]
        failed = any(worker.process.returncode for worker in ended)
        for worker in ended:
            worker.listener.join(timeout=5)
        over = failed or len(ended) == len(workers)
        for worker, message in _read(inbox, wait=0.0 if over else 0.1):
            heard = time.monotonic()
            if message and "error" in message:
                worker.complaint = message["error"]
            elif message:
                on_message(worker.index, message)
        if failed:
            raise WorkerFailedError(_cause(workers, inbox))
        if over:
            return
        if time.monotonic() - heard > silence:
            raise WorkerFailedError(
                f"no worker has said a word for {silence:g} seconds; all of them were stopped. "
                "Does every address of the cluster run its worker, and can they reach each other?"
            )


def _read(inbox: queue.Queue, wait: float) -> Iterator[tuple[Worker, Message | None]]:
    """Wait for a message, then give all that are there."""
    try:
        yield inbox.get(timeout=wait) if wait else inbox.get_nowait()
        while True:
            yield inbox.get_nowait()
    except queue.Empty:
        return


def _cause(workers: list[Worker], inbox: queue.Queue) -> str:
    """Say which worker failed first; the others fail because of it, some at the same moment."""
    time.sleep(0.3)
    failed = [worker for worker in workers if worker.process.poll()]
    for worker in failed:
        worker.listener.join(timeout=5)
    for worker, message in _read(inbox, wait=0.0):
        worker.complaint = (message or {}).get("error", worker.complaint)
    worker = min(failed, key=lambda w: w.process.returncode in EFFECTS)
    status = worker.process.returncode
    how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"failed ({status})"
    words = worker.complaint or (worker.last_words() if status > 0 else "")
    others = len(workers) - 1
    stopped = f"; {others} other{'s were' if others > 1 else ' was'} stopped" if others else ""
    return f"worker {worker.index} {how}{stopped}" + (f"\n{words}" if words else "")


def _stop(workers: list[Worker]) -> None:
    """End all process groups. SIGKILL: there is nothing to save, and it cannot be refused."""
    for worker in workers:
        with suppress(ProcessLookupError, PermissionError):  # it has ended
            os.killpg(worker.process.pid, signal.SIGKILL)
        worker.process.wait()
        worker.process.stdout.close()
        worker.errors.close()


@contextmanager
def _guard() -> Iterator[IO[str]]:
    """Give a pipe to a process that outlives this one, if this one is killed without a word."""
    guard = subprocess.Popen(
        ["/bin/sh", "-c", GUARD], stdin=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield guard.stdin
    finally:
        guard.kill()  # all workers have ended, and their numbers may be given to others
        guard.wait()
        guard.stdin.close()


@contextmanager
def _termination_raises() -> Iterator[None]:
    """Turn SIGTERM into an exception, so that what must be done at the end is done."""

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what a signal does
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
