import io
from types import SimpleNamespace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from textgen_utils import plotting, runtime

CURVE = SimpleNamespace(
    steps=[1, 2, 3], train=[3.0, 2.0, 1.6], valid=[3.1, 2.2, 1.8], seconds=[1, 2, 3]
)


def render(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", **runtime.PNG_OPTIONS)
    plt.close(figure)
    return buffer.getvalue()


def example():
    with mpl.rc_context(runtime.FIGURE_STYLE):
        return plotting.learning_curve({"LSTM": CURVE}, floor=1.2, baselines={"5-gram": 1.9})


def luminance(colour):
    red, green, blue = mpl.colors.to_rgb(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_a_learning_curve_is_labelled():
    ax = example()
    assert ax.get_xlabel() == "training steps"
    assert ax.get_ylabel() == "nats per character"
    texts = [text.get_text() for text in ax.texts]
    assert "floor 1.200" in texts
    assert "5-gram 1.900" in texts
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["LSTM", "in training"]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), CURVE.valid)
    plt.close(ax.figure)


def test_the_same_figure_twice_has_the_same_bytes():
    first, second = render(example().figure), render(example().figure)
    assert first == second
    changed = plotting.learning_curve({"LSTM": CURVE}, floor=1.3).figure
    assert render(changed) != first


def test_figures_are_opaque_and_white():
    image = Image.open(io.BytesIO(render(example().figure))).convert("RGBA")
    assert image.getpixel((0, 0)) == (255, 255, 255, 255)
    assert np.asarray(image)[..., 3].min() == 255


def test_colours_differ_and_stand_out_from_white():
    colours = {plotting.FLOOR, plotting.BASELINE, *plotting.CYCLE}
    assert len(colours) == 2 + len(plotting.CYCLE)
    assert plotting.CYCLE[0] == plotting.OURS
    assert all(luminance(colour) < 0.75 for colour in colours)


def test_fonts_are_large_enough_for_a_telephone():
    sizes = [value for key, value in runtime.FIGURE_STYLE.items() if key.endswith("size")]
    assert all(size >= 10 for size in sizes if isinstance(size, (int, float)))


def test_bars_show_their_values():
    ax = plotting.bars({"ours": 1.25, "n-gram": 1.5}, label="nats per character", floor=1.0)
    assert [text.get_text() for text in ax.texts] == ["1.250", "1.500"]
    assert ax.get_xlabel() == "nats per character"
    plt.close(ax.figure)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plotting.learning_curve({}), "at least one curve"),
        (lambda: plotting.learning_curve({"a": CURVE}, floor=float("nan")), "finite"),
        (lambda: plotting.bars({}, label="x"), "at least one value"),
        (lambda: plotting.bars({"a": 1.0}, label="x", colors={"b": "red"}), "names"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_intervals_are_drawn_at_their_quartiles_and_labelled():
    ax = plotting.intervals(
        {"ours": (1.0, 2.0, 3.0), "peer": (10.0, 1234.5, 4000.0)},
        label="ms a step",
        colors={"ours": plotting.OURS},
        limit=0.5,
    )
    spreads, dots = ax.lines[0:4:2], ax.lines[1:4:2]
    assert [list(line.get_xdata()) for line in spreads] == [[1, 3], [10, 4000]]
    assert [list(line.get_xdata()) for line in dots] == [[2], [1234.5]]
    assert [line.get_color() for line in dots] == [plotting.OURS, plotting.BASELINE]
    assert list(ax.lines[4].get_xdata()) == [0.5, 0.5]
    assert [text.get_text() for text in ax.texts] == ["2", "1,234"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["ours", "peer"]
    assert ax.get_xscale() == "log"
    assert ax.yaxis_inverted()


@pytest.mark.parametrize("quartiles", [(0, 1, 2), (1, 3, 2), (1, 2, float("inf"))])
def test_intervals_that_cannot_be_drawn_are_refused(quartiles):
    with pytest.raises(ValueError, match="'x' must have positive quartiles"):
        plotting.intervals({"x": quartiles}, label="s")
    with pytest.raises(ValueError, match="at least one"):
        plotting.intervals({}, label="s")
