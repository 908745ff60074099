"""One worker, started by the launcher: ``python -m ... .worker OUT SETTINGS [DEVICES]``."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from textgen_utils.training.distributed.messages import LOST, send
from textgen_utils.training.distributed.reviews_task import ReviewsTask


def strategy_of_cluster() -> tuple[Any, bool]:
    """Return the strategy of the workers of TF_CONFIG, and whether this one is the chief."""
    import tensorflow as tf

    ring = tf.distribute.experimental.CommunicationOptions(
        implementation=tf.distribute.experimental.CommunicationImplementation.RING
    )
    gpus = tf.config.list_physical_devices("GPU")
    strategy = tf.distribute.MultiWorkerMirroredStrategy(
        communication_options=None if gpus else ring
    )
    return strategy, strategy.cluster_resolver.task_id == 0


def strategy_of_devices(kind: str, count: int) -> Any:
    """Return the strategy of some devices of this process, one replica each.

    Args:
        kind: "GPU"; or "CPU", whose cores become that many logical devices.
        count: how many.

    Raises:
        ValueError: if there are not as many.
    """
    import tensorflow as tf

    os.environ.pop("TF_CONFIG", None)
    physical = tf.config.list_physical_devices(kind)
    if kind == "CPU":
        parts = [tf.config.LogicalDeviceConfiguration()] * count
        tf.config.set_logical_device_configuration(physical[0], parts)
    elif len(physical) < count:
        raise ValueError(f"{count} GPUs were asked for, TensorFlow sees {len(physical)}")
    return tf.distribute.MirroredStrategy([f"{kind}:{i}" for i in range(count)])


def work(out: Path, task: ReviewsTask, devices: str | None = None) -> None:
    """Train with the other workers of TF_CONFIG, or with devices of this process.

    Args:
        out: where the chief writes.
        task: what is trained.
        devices: such as "GPU:2", two of this machine's; None: the workers of TF_CONFIG.
    """
    from textgen_utils.training.distributed.replicas import Replicas, train_replicas

    if devices is None:
        strategy, chief = strategy_of_cluster()
    else:
        kind, count = devices.split(":")
        strategy, chief = strategy_of_devices(kind, int(count)), True
    model, optimizer, batches, validate = task.build()
    replicas = Replicas(strategy, model, optimizer)
    if chief:
        for half_written in out.glob(".checkpoint.npz.*"):
            half_written.unlink()  # by a chief that was killed while it wrote
    send(ready=len(replicas))
    curve = train_replicas(
        replicas,
        batches,
        validate,
        steps=task.steps,
        settings=task.settings,
        checkpoint=out / "checkpoint.npz",
        chief=chief,
        report=send,
    )
    if chief:
        curve.save(out / "curve.json")
        model.save_weights(out / "partial.weights.h5")
        os.replace(out / "partial.weights.h5", out / "best.weights.h5")
    replicas.follow_chief(chief)  # nobody leaves before all are here


def main() -> None:
    """Work, and say in one line why if it cannot be done."""
    import tensorflow as tf

    lost = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)
    lost += (tf.errors.InternalError, tf.errors.DeadlineExceededError)
    status = 0
    try:
        work(Path(sys.argv[1]), ReviewsTask(**json.loads(sys.argv[2])), *sys.argv[3:])
    except lost as error:
        send(error=f"another worker was lost ({type(error).__name__}); see what it says itself")
        status = LOST
    except (ValueError, OSError, FloatingPointError, MemoryError) as error:
        send(error=f"{type(error).__name__}: {error}")
        status = 1
    except BaseException:
        traceback.print_exc()
        status = 1
    # At a normal end TensorFlow would wait for workers that may be gone.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
