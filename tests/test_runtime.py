import base64
import os
import subprocess
import sys

import keras
import pytest

from textgen_utils import runtime


def run(code, **environment):
    env = {
        k: v for k, v in os.environ.items() if k not in ("TF_CPP_MIN_LOG_LEVEL", "TEXTGEN_SCALE")
    }
    return subprocess.run(
        [sys.executable, "-c", code], env={**env, **environment}, capture_output=True, text=True
    )


def test_importing_the_package_is_light():
    code = "import sys, textgen_utils, textgen_utils.runtime\n"
    done = run(
        code + "print([m for m in ('keras', 'tensorflow', 'matplotlib') if m in sys.modules])"
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_setup_is_quiet_and_repeatable():
    code = (
        "from textgen_utils import runtime; runtime.setup(seed=3)\n"
        "import keras, numpy as np\n"
        "from keras import layers\n"
        "lstm = layers.LSTM(64, dropout=0.2)\n"
        "model = keras.Sequential([layers.Embedding(9, 8), lstm, layers.Dense(2)])\n"
        "model.compile('adam', 'mse')\n"
        "x = np.random.randint(9, size=(256, 20)); print(keras.random.normal((3,)))\n"
        "model.fit(x, x[:, :2], verbose=0)\n"
        "print([float(w.sum()).hex() for w in model.get_weights()])\n"
    )
    first, second = run(code), run(code)
    assert first.returncode == 0, first.stderr
    if keras.config.backend() == "tensorflow":  # other backends load it later, for themselves
        assert first.stderr == ""
    assert first.stdout == second.stdout


def test_setup_after_keras_is_allowed():
    code = "import keras\nfrom textgen_utils import runtime; runtime.setup(seed=0); print('done')"
    assert run(code).stdout.strip() == "done"


def test_errors_during_the_quiet_import_are_still_shown():
    done = run("from textgen_utils import runtime; runtime.setup(seed=0)", KERAS_BACKEND="nonsense")
    assert done.returncode != 0
    assert "nonsense" in done.stderr


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, True, None, "1"])
def test_a_bad_seed_is_refused(seed):
    with pytest.raises(ValueError, match="seed must be an integer"):
        runtime.setup(seed)


@pytest.mark.parametrize("scale", ["cpu", "gpu"])
def test_the_environment_decides_the_scale(monkeypatch, scale):
    monkeypatch.setenv("TEXTGEN_SCALE", scale)
    assert runtime.scale() == scale
    assert runtime.by_scale(cpu="cpu", gpu="gpu") == scale


def test_an_unknown_scale_is_refused(monkeypatch):
    monkeypatch.setenv("TEXTGEN_SCALE", "tpu-pod")
    with pytest.raises(ValueError, match=r"TEXTGEN_SCALE must be one of .* got 'tpu-pod'"):
        runtime.by_scale(cpu=1, gpu=2)
    with pytest.raises(ValueError, match="TEXTGEN_SCALE"):
        runtime.setup(seed=1)


@pytest.mark.parametrize(("asked", "policy"), [("", "float32"), ("mixed_bfloat16",) * 2])
def test_the_environment_decides_the_precision(asked, policy):
    code = (
        "from textgen_utils import runtime; runtime.setup(seed=0); import keras\n"
        "print(keras.config.dtype_policy().name); print(runtime.device_report())"
    )
    done = run(code, TEXTGEN_PRECISION=asked, TEXTGEN_SCALE="gpu")
    assert done.returncode == 0, done.stderr
    name, report = done.stdout.splitlines()
    assert name == policy
    assert report.endswith(f"scale gpu, {policy}")


def test_an_unknown_precision_is_refused(monkeypatch):
    monkeypatch.setenv("TEXTGEN_PRECISION", "int1")
    with pytest.raises(ValueError, match=r"TEXTGEN_PRECISION must be one of .* got 'int1'"):
        runtime.setup(seed=1)


@pytest.mark.parametrize("devices", [["cpu:0"], ["cpu:0", "gpu:0"]])
def test_without_it_the_devices_decide(monkeypatch, devices):
    monkeypatch.delenv("TEXTGEN_SCALE", raising=False)
    monkeypatch.setattr(keras.distribution, "list_devices", lambda *_: devices)
    assert runtime.scale() == ("gpu" if len(devices) == 2 else "cpu")


def test_device_report_is_one_line():
    report = runtime.device_report()
    assert "\n" not in report
    assert keras.version() in report
    assert keras.config.backend() in report


def test_progress_writes_to_stderr_only(capsys):
    assert list(runtime.progress(range(3), "counting")) == [0, 1, 2]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "counting" in captured.err


def test_figures_in_a_notebook_are_opaque_and_the_same_twice():
    nbclient = pytest.importorskip("nbclient")
    from nbformat.v4 import new_code_cell, new_notebook

    plot = "import matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.title('x'); plt.show()"
    setup = "from textgen_utils import runtime; runtime.setup(seed=1)"
    cells = [new_code_cell(source) for source in (setup, plot, plot)]
    # A kernel chooses its own backend, which conftest's must not override.
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        done = nbclient.NotebookClient(new_notebook(cells=cells), timeout=120).execute()
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    assert done.cells[0].outputs == []
    first, second = (base64.b64decode(cell.outputs[0].data["image/png"]) for cell in done.cells[1:])
    assert first == second
    assert b"Matplotlib" not in first
