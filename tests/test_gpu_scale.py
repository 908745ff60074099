"""What runs at GPU scale, as far as a machine without a GPU can tell."""

import ast
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest

from benchmarks import shakespeare_gpt
from textgen_utils import training
from textgen_utils.evaluation import evaluate
from textgen_utils.models.convolutional import ConvLanguageModel
from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.models.recurrent_seq2seq import RecurrentSeq2Seq
from textgen_utils.models.transformer import GPT
from textgen_utils.training.memory import estimate

BOOK = Path(__file__).resolve().parent.parent / "book"
TEXT = np.random.default_rng(0).integers(0, 9, 600)
MODELS = {
    "GPT": lambda: GPT(9, width=16, heads=2, depth=1, max_context=16, boundary=0, seed=1),
    "LSTM": lambda: LSTMLanguageModel(9, width=16, boundary=0, seed=1),
    "convolution": lambda: ConvLanguageModel(9, width=8, dilations=(1,), boundary=0, seed=1),
}
PAIRS = {
    "recurrent": lambda: RecurrentSeq2Seq(
        9, 9, width=16, attention="dot", boundary=0, padding=0, seed=1
    ),
}


@pytest.fixture
def bfloat16():
    """Mixed precision, as at GPU scale, for one test."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)


def scored(model, weights):
    model.set_weights(weights)
    return evaluate(model, TEXT[:64]).nats_per_token


@pytest.mark.parametrize("name", MODELS)
def test_language_models_learn_and_score_in_mixed_precision(name, bfloat16):
    model = MODELS[name]()
    options = {"steps": 4, "eval_every": 2, "window": 8, "batch_size": 4, "seed": 1}
    curve = training.train(model, TEXT, TEXT[:64], **options)
    assert np.isfinite(curve.train + curve.valid).all()
    assert {weight.dtype for weight in model.trainable_weights} == {"float32"}
    weights = model.get_weights()
    mixed = scored(model, weights)
    log_probs, _ = model.step(np.zeros(2, np.int32), model.initial_state(2))
    log_probs = keras.ops.convert_to_numpy(log_probs)
    assert log_probs.dtype == np.float32
    np.testing.assert_allclose(np.exp(log_probs).sum(axis=1), 1, atol=1e-5)
    keras.config.set_dtype_policy("float32")
    assert mixed == pytest.approx(scored(MODELS[name](), weights), rel=0.02)


@pytest.mark.parametrize("name", PAIRS)
def test_translators_learn_and_score_in_mixed_precision(name, bfloat16):
    model = PAIRS[name]()
    rng = np.random.default_rng(1)
    pairs = [[*rng.integers(1, 9, 5), 0] for _ in range(12)]
    curve = training.train_pairs(
        model, (pairs, pairs), (pairs, pairs), steps=2, batch_size=4, eval_every=2, seed=1
    )
    assert np.isfinite(curve.train + curve.valid).all()


def test_a_model_is_loaded_with_the_policy_of_the_day_and_the_weights_it_had(tmp_path, bfloat16):
    model = MODELS["LSTM"]()
    model.save(tmp_path / "model.keras")
    keras.config.set_dtype_policy("float32")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert {layer.dtype_policy.name for layer in loaded.layers} == {"float32"}
    for weight, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, other)


def test_nanogpts_gpu_setting_has_nanogpts_parameters():
    """10.65 million without the positions, as nanoGPT prints them."""
    model = shakespeare_gpt.network(shakespeare_gpt.GPU_SETTINGS, 65, 0, seed=1)
    count = model.count_params() - 384 * 256
    assert count == pytest.approx(10.65e6, rel=0.005)
    need = estimate(model, batch_size=64, window=256)
    assert need.weights == 4 * model.count_params()
    assert 1 < need.total / 2**30 < 40


def test_the_memory_of_a_step_is_what_xla_reports():
    """In a process of its own, since JAX alone tells; sizes that nothing was fitted to."""
    code = """
    import jax, keras, numpy as np
    from textgen_utils import training
    from textgen_utils.models.transformer import GPT
    from textgen_utils.training.memory import estimate
    for width, heads, depth, window, batch, dropout in (
        (96, 3, 2, 96, 16, 0.0), (128, 2, 1, 64, 32, 0.2)
    ):
        model = GPT(65, max_context=window, width=width, heads=heads, depth=depth,
                    dropout=dropout, boundary=0, seed=1)
        loss = training.token_loss()
        def total(weights, rest, x):
            logits, rest = model.stateless_call(weights, rest, x, training=True)
            return loss(x, logits), rest
        weights = [v.value for v in model.trainable_variables]
        rest = [v.value for v in model.non_trainable_variables]
        x = np.zeros((batch, window), "int32")
        step = jax.jit(jax.value_and_grad(total, has_aux=True)).lower(weights, rest, x).compile()
        need = estimate(model, batch, window)
        print(step.memory_analysis().temp_size_in_bytes / need.activations)
    """
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**environment, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    assert [float(ratio) for ratio in run.stdout.split()] == pytest.approx([1, 1], rel=0.25)


def test_what_is_no_gpt_has_no_estimate():
    with pytest.raises(ValueError, match="must be a GPT, got LSTMLanguageModel"):
        estimate(MODELS["LSTM"](), 1, 1)
    with pytest.raises(ValueError, match="at least 1, got 0 and 8"):
        estimate(MODELS["GPT"](), 0, 8)


def settings():
    """Every by_scale(cpu=..., gpu=...) of the book: where it is, and its two expressions."""
    for path in sorted(BOOK.glob("*/*.ipynb")):
        for cell in json.loads(path.read_text())["cells"]:
            if cell["cell_type"] != "code" or "by_scale(" not in "".join(cell["source"]):
                continue
            lines = [x for x in "".join(cell["source"]).split("\n") if not x.startswith(("%", "!"))]
            for node in ast.walk(ast.parse("\n".join(lines))):
                if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "by_scale":
                    values = {k.arg: k.value for k in node.keywords}
                    yield f"{path.parent.name}/{path.stem}/{cell['id']}", values


def numbers(node):
    """The numbers of a literal by their place: {(): n}, or {("width",): n, ...}."""
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return {}  # computed from others
    found = {}

    def collect(part, place):
        if isinstance(part, (int, float)):
            found[place] = part
        elif isinstance(part, dict):
            for key, inner in part.items():
                collect(inner, (*place, key))
        elif isinstance(part, (list, tuple)):
            collect(len(part), (*place, "length"))
            for index, inner in enumerate(part):
                collect(inner, (*place, index))

    collect(value, ())
    return found


def test_every_setting_has_two_scales_of_one_form():
    assert len(list(settings())) > 50
    for place, values in settings():
        assert set(values) == {"cpu", "gpu"}, place
        cpu, gpu = numbers(values["cpu"]), numbers(values["gpu"])
        for key in cpu.keys() & gpu.keys():
            if not any(str(part) in ("rate", "dropout", "rates") for part in key):
                assert gpu[key] >= cpu[key], (place, key)


def test_widths_can_be_shared_by_heads_and_steps_by_evaluations():
    for place, values in settings():
        found = numbers(values["gpu"])
        for key, width in found.items():
            if key and key[-1] == "width":
                heads = found.get((*key[:-1], "heads"), 1)
                assert width % heads == 0, place
            if key and key[-1] == "steps" and (*key[:-1], "every") in found:
                assert width % found[(*key[:-1], "every")] == 0, place
