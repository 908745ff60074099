"""Training on several devices: the same steps as on one, and workers that die."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import scipy.optimize
from hypothesis import given
from hypothesis import strategies as st

from textgen_utils import training
from textgen_utils.batches import PairBatches
from textgen_utils.training import Curve, distributed
from textgen_utils.training.distributed.__main__ import main, worker_command
from textgen_utils.training.distributed.replicas import weighted

pytestmark = pytest.mark.tensorflow

MODULE = "textgen_utils.training.distributed"
SMALL = {"steps": 12, "every": 4, "batch_size": 8, "pairs": 64, "valid_pairs": 8, "width": 8}
TASK = distributed.ReviewsTask(**SMALL)
OPTIONS = [x for name, n in SMALL.items() for x in ("--" + name.replace("_", "-"), str(n))]
SLOW = 300  # seconds: far more than a run takes, so that a busy machine fails nothing


def default_strategy():
    import tensorflow as tf

    return tf.distribute.get_strategy()


def gone(number, seconds=60):
    """Whether a process has ended, or does so soon."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0]
            os.kill(number, 0)
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":  # dead, and its parent has not asked yet
            return True
        time.sleep(0.05)
    return False


class Bigrams(keras.Model):
    """Reads a target's last token only; it is compiled in no time.

    No `Embedding`: with TensorFlow, Keras would clip by the norm of its gradient's rows before
    rows of one token are added up, which `Replicas` does first.
    """

    def __init__(self, size=6):
        super().__init__()
        normal = keras.initializers.RandomNormal(seed=1)
        self.table = keras.layers.Dense(size, use_bias=False, kernel_initializer=normal)
        self.table.build((None, None, size))
        self.size = size
        self.built = True

    def call(self, inputs, training=False):
        return self.table(keras.ops.one_hot(inputs[1], self.size))


def toy_batches(batch_size=6, steps=4):
    """Pairs whose targets have from 1 to 9 tokens, so that replicas have unequal numbers."""
    rng = np.random.default_rng(0)
    targets = [rng.integers(1, 6, rng.integers(1, 10)) for _ in range(30)]
    return PairBatches(targets, targets, batch_size, steps, seed=2, boundary=0, padding=0)


def toy_run(optimizer=None, strategy=None, **options):
    model, batches = Bigrams(), toy_batches()
    optimizer = optimizer or training.adam(0.05)
    replicas = distributed.Replicas(strategy or default_strategy(), model, optimizer)
    inputs, targets, mask = batches[0]

    def validate():
        nats = keras.ops.sparse_categorical_crossentropy(targets, model(inputs), from_logits=True)
        return float(keras.ops.sum(nats * mask) / mask.sum())

    curve = distributed.train_replicas(replicas, batches, validate, steps=12, **options)
    return model, curve


def assert_same(first, second, tolerance):
    (model, curve), (other, other_curve) = first, second
    assert curve.steps == other_curve.steps
    np.testing.assert_allclose(curve.train, other_curve.train, atol=tolerance)
    np.testing.assert_allclose(curve.valid, other_curve.valid, atol=tolerance)
    for w, v in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(w, v, atol=tolerance)


def test_steps_are_those_of_keras():
    model, other, batches = Bigrams(), Bigrams(), toy_batches()
    replicas = distributed.Replicas(default_strategy(), model, training.adam(0.05, clip=0.01))
    other.compile(training.adam(0.05, clip=0.01), training.token_loss())
    for index in range(4):
        inputs, targets, mask = batches[index]
        other.reset_metrics()
        theirs = other.train_on_batch(inputs, targets, sample_weight=mask)
        assert replicas.step(batches[index]) == pytest.approx(float(theirs), abs=1e-6)
    assert replicas.steps == 4
    np.testing.assert_allclose(model.get_weights()[0], other.get_weights()[0], atol=1e-6)


def test_two_devices_of_one_process_take_the_steps_of_one():
    # In a process of its own: devices are chosen before the first one is used.
    code = """
    import numpy as np
    import tensorflow as tf
    import test_distributed as tests
    [cpu] = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 3)
    three = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1", "CPU:2"])
    assert three.num_replicas_in_sync == 3
    tests.assert_same(tests.toy_run(), tests.toy_run(strategy=three), 1e-5)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=SLOW,
        cwd=Path(__file__).parent,
    )
    assert run.returncode == 0, run.stderr


@pytest.fixture(scope="module")
def on_one_device():
    """The command's task, on one device: its curve."""
    model, optimizer, batches, validate = TASK.build()
    replicas = distributed.Replicas(default_strategy(), model, optimizer)
    return distributed.train_replicas(replicas, batches, validate, steps=TASK.steps)


@pytest.mark.parametrize("count", [2, 4])
def test_the_command_gives_devices_of_one_process_the_losses_of_one(count, tmp_path, on_one_device):
    assert main(["--logical-cpus", str(count), "--out", str(tmp_path), *OPTIONS]) == 0
    curve = Curve.load(tmp_path / "curve.json")
    assert curve.steps == on_one_device.steps
    np.testing.assert_allclose(curve.train, on_one_device.train, atol=1e-4)
    np.testing.assert_allclose(curve.valid, on_one_device.valid, atol=1e-4)


def test_gpus_that_are_not_there_are_told_of(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert main(["--gpus", "2", "--out", str(tmp_path), *OPTIONS]) == 1
    assert "2 GPUs were asked for, TensorFlow sees 0" in capfd.readouterr().err


def test_a_killed_run_is_resumed_to_what_one_device_computes(tmp_path, capfd):
    numbers = {}

    def kill_a_worker(index, message):
        numbers.setdefault(index, message.get("process"))
        if index == 0 and message.get("step") == 6:
            os.kill(numbers[1], signal.SIGKILL)

    killed = pytest.raises(distributed.WorkerFailedError, match=r"worker 1 was killed by SIGKILL")
    with distributed.Cluster.on_this_machine(2) as cluster, killed as failed:
        distributed.launch(worker_command(tmp_path, TASK), cluster, on_message=kill_a_worker)
    assert "1 other was stopped" in str(failed.value)
    assert all(gone(number) for number in numbers.values())
    assert (tmp_path / "checkpoint.npz").exists()
    assert not (tmp_path / "curve.json").exists()

    assert main(["--workers", "2", "--out", str(tmp_path), *OPTIONS]) == 0
    output = capfd.readouterr().out
    assert "goes on from the checkpoint of step" in output
    assert "step 12 of 12" in output
    model, optimizer, batches, validate = TASK.build()
    replicas = distributed.Replicas(default_strategy(), model, optimizer)
    curve = distributed.train_replicas(replicas, batches, validate, steps=TASK.steps)
    resumed = TASK.build()[0]
    resumed.load_weights(tmp_path / "best.weights.h5")
    assert_same((model, curve), (resumed, Curve.load(tmp_path / "curve.json")), 1e-4)


def test_machines_of_a_cluster_end_when_one_of_them_does(tmp_path):
    """The command itself, twice, as on two machines."""
    runs = []
    with distributed.Cluster.on_this_machine(2) as cluster:
        for index in range(2):
            command = [sys.executable, "-m", MODULE, "--cluster", ",".join(cluster.addresses)]
            command += ["--index", str(index), "--out", str(tmp_path / str(index)), *OPTIONS]
            command[command.index("--steps") + 1] = "40000"
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            runs.append(subprocess.Popen(command, text=True, **pipes))
        workers = [int(run.stdout.readline().split()[3].rstrip(",")) for run in runs]
        assert runs[0].stdout.readline().startswith("step 4 of 40000")
        os.kill(workers[1], signal.SIGKILL)
        errors = [run.communicate(timeout=SLOW)[1] for run in runs]
    assert [run.returncode for run in runs] == [1, 1]
    assert "worker 1 was killed by SIGKILL" in errors[1]
    assert "another worker was lost" in errors[0] or "worker 0 was killed" in errors[0]
    assert all(gone(number) for number in workers)
    assert (tmp_path / "0/checkpoint.npz").exists()
    assert not (tmp_path / "1").exists()


def test_a_checkpoint_cut_in_half_is_named_and_kept(tmp_path, capfd):
    checkpoint = tmp_path / "checkpoint.npz"
    toy_run(checkpoint=checkpoint)
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="is damaged"):
        toy_run(checkpoint=checkpoint)
    assert main(["--workers", "1", "--out", str(tmp_path), *OPTIONS]) == 1
    errors = capfd.readouterr().err
    assert f"worker 0 failed (1)\nValueError: checkpoint {checkpoint} is damaged" in errors
    assert "delete the file to start again" in errors
    assert checkpoint.read_bytes() == whole[: len(whole) // 2]


def test_resuming_changes_nothing(tmp_path):
    def break_off(step=0, **values):
        if step == 6:
            raise KeyboardInterrupt

    checkpoint, reports = tmp_path / "checkpoint.npz", []
    with pytest.raises(KeyboardInterrupt):
        toy_run(checkpoint=checkpoint, report=break_off)
    resumed = toy_run(checkpoint=checkpoint, report=lambda **values: reports.append(values))
    assert reports[0] == {"resumed": 4}
    assert reports[1]["step"] == 5
    assert_same(resumed, toy_run(), 1e-7)


def test_a_finished_run_is_not_repeated_and_other_settings_are_refused(tmp_path):
    checkpoint, reports = tmp_path / "checkpoint.npz", []
    finished = toy_run(checkpoint=checkpoint, settings={"seed": 1})
    options = {"checkpoint": checkpoint, "report": lambda **values: reports.append(values)}
    assert_same(finished, toy_run(settings={"seed": 1}, **options), 0)
    assert reports == [{"resumed": 12}]
    with pytest.raises(ValueError, match="seed: 1 there, 2 here"):
        toy_run(settings={"seed": 2}, **options)


def test_bad_settings_of_a_run_are_refused():
    with pytest.raises(ValueError, match="one process must be the chief"):
        toy_run(chief=False)
    replicas = distributed.Replicas(default_strategy(), Bigrams(), training.adam(0.1))
    with pytest.raises(ValueError, match="multiple of the 4"):
        distributed.train_replicas(replicas, toy_batches(), lambda: 1.0, steps=6)


def test_a_loss_that_is_not_finite_stops_every_worker():
    model = Bigrams()
    model.set_weights([w * np.nan for w in model.get_weights()])
    replicas = distributed.Replicas(default_strategy(), model, training.adam(0.1))
    with pytest.raises(FloatingPointError, match="training loss is nan"):
        distributed.train_replicas(replicas, toy_batches(), lambda: 1.0, steps=4)


def test_memory_that_no_device_has_is_told_of_by_the_worker():
    import tensorflow as tf

    replicas = distributed.Replicas(default_strategy(), Bigrams(), training.adam(0.1))

    def refuse(*shares):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    replicas._step = refuse
    with pytest.raises(MemoryError, match=r"step 1 of Bigrams with 36 .* shared by 1 replicas"):
        replicas.step(toy_batches()[0])


@given(st.integers(1, 6), st.integers(0, 10_000))
def test_weighted_losses_add_up_to_the_mean_over_tokens(replicas, seed):
    rng = np.random.default_rng(seed)
    nats = rng.random((replicas * 3, 5))
    mask = rng.random(nats.shape) < 0.5
    mask[0, 0] = True
    weights = weighted((None, np.zeros_like(nats), mask))[2]
    shares = [
        (distributed.share(nats, rank, replicas) * distributed.share(weights, rank, replicas)).sum()
        for rank in range(replicas)
    ]
    assert sum(shares) == pytest.approx(nats[mask].mean(), rel=1e-5)


@given(st.integers(1, 7), st.integers(0, 40), st.integers(0, 100))
def test_a_ring_adds_up_and_sends_no_more_than_it_must(workers, length, seed):
    vectors = np.random.default_rng(seed).integers(-9, 9, (workers, length)).astype(float)
    sums, sent = distributed.ring_all_reduce(vectors)
    np.testing.assert_array_equal(sums, np.tile(vectors.sum(0), (workers, 1)))
    assert sent.sum() == 2 * (workers - 1) * length
    assert sent.max() <= 2 * (workers - 1) * -(-length // workers)


def test_times_of_a_ring_and_of_a_step():
    assert distributed.ring_seconds(1e6, 1, 1e6, 0.1) == 0
    assert distributed.ring_seconds(1e6, 4, 1e6, 0.1) == pytest.approx(6 * 0.1 + 6 / 4)
    # The part that grows with the size tends to twice the time of sending it once.
    assert distributed.ring_seconds(1e6, 1000, 1e6, 0) == pytest.approx(2, rel=2e-3)
    model = distributed.StepTime(fixed=0.0, per_item=1.0, size=0.0, bandwidth=1.0, latency=0.0)
    assert model.speedup(64, 8) == pytest.approx(8)
    model = distributed.StepTime(fixed=1.0, per_item=1.0, size=2.0, bandwidth=4.0, latency=0.25)
    assert model.seconds(6, 2) == pytest.approx(1 + 3 + 2 * (0.25 + 0.25))


def test_lines_are_those_of_weighted_least_squares():
    rng = np.random.default_rng(0)
    x = np.array([1.0, 10, 100, 1000])
    y = (3 + 0.5 * x) * (1 + 0.05 * rng.standard_normal(4))
    expected = scipy.optimize.curve_fit(lambda x, a, b: a + b * x, x, y, (1, 1), sigma=y)[0]
    assert distributed.line_through(x, y) == pytest.approx(expected, rel=1e-5)
    assert distributed.line_through([1, 2, 3], [1, 2.1, 3.3])[0] == 0


def test_ports_are_kept_for_the_workers():
    with distributed.Cluster.on_this_machine(3) as cluster:
        assert len(set(cluster.addresses)) == 3
        config = json.loads(cluster.tf_config(2))
        assert config["task"] == {"type": "worker", "index": 2}
        assert config["cluster"]["worker"] == list(cluster.addresses)
        host, port = cluster.addresses[0].split(":")
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind((host, int(port)))


@pytest.mark.parametrize(
    "addresses", [(), ("host",), ("host:0",), ("host:70000",), ("a:1", "a:1"), ("a b:1",), (":1",)]
)
def test_addresses_that_are_none_are_refused(addresses):
    with pytest.raises(ValueError, match="address"):
        distributed.Cluster(addresses)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--workers", "0"], "at least 1"),
        (["--workers", "3"], "a multiple of it; got 3 and 64"),
        (["--gpus", "3"], "--gpus must be at least 1, and --batch-size a multiple of it; got 3"),
        (["--gpus", "2", "--workers", "2"], "not allowed with"),
        (["--logical-cpus", "0"], "--logical-cpus must be at least 1"),
        (["--workers", "2", "--cluster", "a:1"], "not allowed with"),
        (["--cluster", "a:1,b:2,c:3", "--index", "0"], "multiple of the 3 workers, got 64"),
        (["--cluster", "a:1,b:2"], "--cluster needs --index"),
        (["--cluster", "a:1,b:2", "--index", "2"], "from 0 to 1, got 2"),
        (["--cluster", "a:1,b", "--index", "0"], "host:port, got 'b'"),
        (["--index", "1"], "give both"),
        (["--silence", "0"], "positive"),
        (["--steps", "10", "--every", "4"], "multiple of every"),
        (["--width", "7"], "even"),
        (["--learning-rate", "0"], "learning rate"),
        (["--seed", "-1"], "seed"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments, reason, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--out", str(tmp_path)])
    assert ended.value.code == 2
    assert reason in capsys.readouterr().err


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(ValueError, match="a batch of 8 rows cannot be shared equally by 3"):
        distributed.share(np.zeros((8, 2)), 0, 3)


def launch(code, workers=2, **options):
    """Run a few lines of Python as workers; return the process numbers and what they said."""
    numbers, messages = {}, []

    def hear(index, message):
        if "process" in message:
            numbers[index] = message["process"]
        else:
            messages.append((index, message))

    command = [sys.executable, "-c", textwrap.dedent(code)]
    try:
        with distributed.Cluster.on_this_machine(workers) as cluster:
            distributed.launch(command, cluster, on_message=hear, **options)
    finally:
        assert all(gone(number, seconds=5) for number in numbers.values())
    return messages


def test_workers_are_told_who_they_are_and_are_heard():
    code = """
    import json, os
    print("no message")
    for n in range(500):
        print(json.dumps({"index": json.loads(os.environ["TF_CONFIG"])["task"]["index"], "n": n}))
    """
    messages = launch(code, workers=3)
    for i in range(3):  # down to the last one, though nobody waits after it
        assert [m for index, m in messages if index == i] == [
            {"index": i, "n": n} for n in range(500)
        ]


def test_bad_arguments_start_nothing():
    for options in ({"silence": 0}, {"threads": 0}, {"indices": []}):
        with pytest.raises(ValueError, match="must be positive"):
            launch("", **options)
    with pytest.raises(ValueError, match="from 0 to 1, got 2"):
        launch("", indices=[0, 2])


def test_silence_is_noticed():
    before = time.monotonic()
    with pytest.raises(
        distributed.WorkerFailedError, match="no worker has said a word for 1 seconds"
    ):
        launch("import time; time.sleep(600)", silence=1)
    assert time.monotonic() - before < 60


def test_the_first_to_fail_is_named_with_its_last_words():
    code = """
    import json, os, sys, time
    if json.loads(os.environ["TF_CONFIG"])["task"]["index"]:
        sys.exit("there is no such thing")
    time.sleep(600)
    """
    with pytest.raises(distributed.WorkerFailedError, match="worker 1 failed") as failed:
        launch(code)
    assert "there is no such thing" in str(failed.value)


def test_what_fails_because_of_another_is_not_blamed():
    code = """
    import json, os, signal, sys
    if json.loads(os.environ["TF_CONFIG"])["task"]["index"]:
        os.kill(os.getpid(), signal.SIGKILL)
    sys.exit(3)
    """
    with pytest.raises(distributed.WorkerFailedError, match="worker 1 was killed by SIGKILL"):
        launch(code)


def test_a_launcher_that_ends_leaves_nobody_behind():
    code = f"""
    from {MODULE} import Cluster, launch
    for turn in range(2):
        try:
            with Cluster.on_this_machine(2) as cluster:
                tell = lambda index, message: print(message["process"], flush=True)
                launch(["sleep", "600"], cluster, on_message=tell)
        except SystemExit as end:
            print(end.code, flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as run:
        numbers = [int(run.stdout.readline()) for _ in range(2)]
        run.terminate()
        assert int(run.stdout.readline()) == 128 + signal.SIGTERM
        assert all(gone(number, seconds=0.1) for number in numbers)
        numbers = [int(run.stdout.readline()) for _ in range(2)]
        assert not gone(numbers[0], seconds=0.1)
        run.kill()  # it cannot do anything about this one
    assert all(gone(number) for number in numbers)


def test_another_backend_is_refused(monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="needs the TensorFlow backend, got jax"):
        distributed.Replicas(default_strategy(), Bigrams(), training.adam(0.1))
