"""The recurrent cells written out: simple RNN, LSTM and GRU, with their gates.

The layers of Keras return states only. Here a step returns its gates, too, in the letters of the
formulas: rows are vectors, `W` reads the input, `U` the previous state, `b` is the bias. NumPy in
float64, to look at a network that has been trained, not to train one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from textgen_utils.models.base import check_ids

Arrays = tuple[np.ndarray, ...]
Gates = dict[str, np.ndarray]


def rnn_step(x: np.ndarray, state: Arrays, weights: Arrays) -> tuple[Arrays, Gates]:
    """Read one input with a simple RNN: h = tanh(x W + h U + b).

    Args:
        x: floats, (batch, size).
        state: h, (batch, width).
        weights: W, (size, width); U, (width, width); b, (width,).

    Returns:
        state: the new h.
        gates: none.

    Source: J. L. Elman, "Finding structure in time", 1990.
    """
    W, U, b = weights  # noqa: N806
    (h,) = state
    return (np.tanh(x @ W + h @ U + b),), {}


def lstm_step(x: np.ndarray, state: Arrays, weights: Arrays) -> tuple[Arrays, Gates]:
    """Read one input with an LSTM.

    With (i, f, g, o) = x W + h U + b,
    c = sigmoid(f) c + sigmoid(i) tanh(g) and h = sigmoid(o) tanh(c).

    Args:
        x: floats, (batch, size).
        state: h and c, each (batch, width).
        weights: W, (size, 4 width); U, (width, 4 width); b, (4 width,); in the order i, f, g, o.

    Returns:
        state: the new h and c.
        gates: "input", "forget", "output", in (0, 1), "candidate", in (-1, 1); (batch, width).

    Source: S. Hochreiter and J. Schmidhuber, "Long short-term memory", 1997; the forget gate from
    F. A. Gers, J. Schmidhuber and F. Cummins, "Learning to forget", 2000.
    """
    W, U, b = weights  # noqa: N806
    h, c = state
    i, f, g, o = np.split(x @ W + h @ U + b, 4, axis=-1)
    gates = {"input": sigmoid(i), "forget": sigmoid(f), "output": sigmoid(o)}
    gates["candidate"] = np.tanh(g)
    c = gates["forget"] * c + gates["input"] * gates["candidate"]
    return (gates["output"] * np.tanh(c), c), gates


def gru_step(x: np.ndarray, state: Arrays, weights: Arrays) -> tuple[Arrays, Gates]:
    """Read one input with a GRU, in one of its two forms.

    h = sigmoid(z) h + (1 - sigmoid(z)) tanh(g), where z and the reset gate r are read off x and h.
    Keras's default (`reset_after=True`, which cuDNN computes) resets what U made of the state,
    g = x W_g + b_g + sigmoid(r) (h U_g + b'_g), the first publication resets the state,
    g = x W_g + b_g + (sigmoid(r) h) U_g. The shape of b tells which one is meant.

    Args:
        x: floats, (batch, size).
        state: h, (batch, width).
        weights: W, (size, 3 width); U, (width, 3 width); b, (2, 3 width) for Keras's default, its
            second row added to h U, or (3 width,) for the other form; in the order z, r, g.

    Returns:
        state: the new h.
        gates: "update" and "reset", in (0, 1), and "candidate", in (-1, 1), each (batch, width).

    An update gate of 1 keeps the state; other authors have it the other way round.

    Source: K. Cho et al., "Learning phrase representations using RNN encoder-decoder for
    statistical machine translation", 2014.
    """
    W, U, b = weights  # noqa: N806
    (h,) = state
    U_zr, U_g = np.split(U, [2 * h.shape[-1]], axis=-1)  # noqa: N806
    b_x, b_h = b if b.ndim == 2 else (b, np.zeros_like(b))
    b_zr, b_g = np.split(b_h, [2 * h.shape[-1]])
    x_z, x_r, x_g = np.split(x @ W + b_x, 3, axis=-1)
    h_z, h_r = np.split(h @ U_zr + b_zr, 2, axis=-1)
    update, reset = sigmoid(x_z + h_z), sigmoid(x_r + h_r)
    h_g = reset * (h @ U_g + b_g) if b.ndim == 2 else (reset * h) @ U_g
    candidate = np.tanh(x_g + h_g)
    gates = {"update": update, "reset": reset, "candidate": candidate}
    return (update * h + (1 - update) * candidate,), gates


@dataclass(frozen=True)
class Trace:
    """All that happened in a layer while it read.

    Attributes:
        states: "h", and "c" of an LSTM, after each input; each (batch, time, width).
        gates: see the layer's step; each (batch, time, width), at each input.
    """

    states: dict[str, np.ndarray]
    gates: Gates


def trace(layer: keras.layers.Layer, x: ArrayLike, state: Arrays | None = None) -> Trace:
    """Read a batch of sequences with the weights of a Keras layer, and keep states and gates.

    Args:
        layer: a built SimpleRNN, LSTM or GRU with its default activations, reading forwards. Its
            dropout is not applied.
        x: floats, (batch, time, size).
        state: what to start from, h or h and c, each (batch, width); None: zeros.

    Raises:
        ValueError: if the layer is of another kind, or has no weights yet; if `x` has another
            shape or no time step; if the state has not the layer's shapes.
    """
    step, names, weights = _cell(layer)
    x = np.asarray(x, np.float64)
    size = len(weights[0])
    if x.ndim != 3 or x.shape[2] != size or not x.shape[1]:
        raise ValueError(f"x must have the shape (batch, time > 0, {size}), got {x.shape}")
    state = _start(state, len(names), (len(x), layer.units))
    states: list[Arrays] = []
    gates: list[Gates] = []
    for t in range(x.shape[1]):
        state, at_t = step(x[:, t], state, weights)
        states.append(state)
        gates.append(at_t)
    return Trace(
        {name: np.stack([at_t[k] for at_t in states], 1) for k, name in enumerate(names)},
        {name: np.stack([at_t[name] for at_t in gates], 1) for name in gates[0]},
    )


def trace_model(model: Any, ids: ArrayLike) -> list[Trace]:
    """Read texts with a recurrent language model, and keep states and gates of each layer.

    Args:
        model: has an `embedding` and a list `recurrent` of layers, as `LSTMLanguageModel`.
        ids: ints, (batch, time): all that is read, the boundary in front, if there is one, too.

    Returns:
        one trace a layer, the lowest first.

    Raises:
        ValueError: as `trace`; or an id is out of range.
    """
    table = keras.ops.convert_to_numpy(model.embedding.embeddings)
    x = table[check_ids(ids, len(table), ndim=2)]
    traces = []
    for layer in model.recurrent:
        traces.append(trace(layer, x))
        x = traces[-1].states["h"]
    return traces


def sigmoid(u: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-u)); the tanh does not overflow."""
    return 0.5 * (1 + np.tanh(0.5 * u))


_STEPS: dict[type, tuple[Callable[..., tuple[Arrays, Gates]], tuple[str, ...]]] = {
    keras.layers.SimpleRNN: (rnn_step, ("h",)),
    keras.layers.LSTM: (lstm_step, ("h", "c")),
    keras.layers.GRU: (gru_step, ("h",)),
}


def _cell(
    layer: keras.layers.Layer,
) -> tuple[Callable[..., tuple[Arrays, Gates]], tuple[str, ...], Arrays]:
    """Return the layer's step, the names of its states, and W, U and b in float64."""
    if type(layer) not in _STEPS:
        raise ValueError(f"layer must be a SimpleRNN, an LSTM or a GRU, got {layer!r}")
    if not layer.built:
        raise ValueError(f"the layer {layer.name!r} has no weights yet: call it once")
    gate = getattr(layer, "recurrent_activation", keras.activations.sigmoid)
    usual = (keras.activations.tanh, keras.activations.sigmoid)
    if (layer.activation, gate) != usual or layer.go_backwards or not layer.use_bias:
        raise ValueError(
            f"the layer {layer.name!r} must have tanh, sigmoid gates and biases, and read forwards"
        )
    step, names = _STEPS[type(layer)]
    return step, names, tuple(np.asarray(w, np.float64) for w in layer.get_weights())


def _start(state: Arrays | None, count: int, shape: tuple[int, int]) -> Arrays:
    if state is None:
        return (np.zeros(shape),) * count
    state = tuple(np.asarray(part, np.float64) for part in state)
    if [part.shape for part in state] != [shape] * count:
        shapes = [part.shape for part in state]
        raise ValueError(f"the state must be {count} of shape {shape}, got {shapes}")
    return state
