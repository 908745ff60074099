"""The run of all parts: what is measured again, what is kept, and the figures beside it."""

import json

import nbformat
import pytest

from benchmarks import figures, suite


def part(calls, name):
    def measure(threads):
        calls.append((name, threads))
        row = {"task": {}, "name": "ours", "seconds": [1, 1, 1], "ratio": [1, 1, 1]}
        return {"settings": {}, "reference": "ours", "facts": {}, "missing": {}, "results": [row]}

    return measure


def test_a_stopped_run_goes_on_and_a_changed_machine_starts_anew(tmp_path, monkeypatch):
    calls, out = [], tmp_path / "new" / "record.json"
    parts = {name: part(calls, name) for name in ("a", "b")}

    def stopped(threads):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        suite.run(out, {"a": parts["a"], "b": stopped}, threads=2)
    assert list(json.loads(out.read_text())["parts"]) == ["a"]
    record = suite.run(out, parts, threads=2)
    assert calls == [("a", 2), ("b", 2)]
    assert json.loads(out.read_text()) == record
    assert list(record["parts"]) == ["a", "b"]
    suite.run(out, parts, threads=2)
    assert len(calls) == 2
    suite.run(out, parts, threads=2, again=True)
    assert len(calls) == 4
    suite.run(out, parts, threads=1)
    assert calls[4:] == [("a", 1), ("b", 1)]
    monkeypatch.setattr(suite, "machine", lambda: {"processor": "another"})
    suite.run(out, parts, threads=1)
    assert len(calls) == 8


def test_every_part_can_be_imported_and_measured():
    for measure in suite.measures(list(suite.PARTS)).values():
        assert callable(measure)


def test_figures_are_those_of_the_record_and_failed_claims_are_told(tmp_path):
    new = nbformat.v4
    draw = (
        "import json, os\nimport matplotlib.pyplot as plt\n"
        "get_ipython().run_line_magic('matplotlib', 'inline')\n"
        f"record = json.load(open(os.environ['{figures.VARIABLE}']))\n"
        "plt.plot([0, record['x']])\nplt.show()"
    )
    cells = [new.new_code_cell(draw, id="curve"), new.new_code_cell("assert False", id="claim")]
    page = tmp_path / "page.ipynb"
    nbformat.write(new.new_notebook(cells=cells), page)
    record = tmp_path / "record.json"
    record.write_text('{"x": 1}')
    pictures, errors = figures.draw(record, page)
    assert [*errors, *(path.name for path in pictures)] == ["claim: AssertionError ", "curve.png"]
    assert pictures[0].read_bytes().startswith(b"\x89PNG")
