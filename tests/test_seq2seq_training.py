"""Pairs from the batch to the translation: batching, training, scoring, greedy decoding."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgen_utils.batches import PairBatches
from textgen_utils.decoding import translate
from textgen_utils.evaluation import evaluate_pairs
from textgen_utils.models.recurrent_seq2seq import RecurrentSeq2Seq
from textgen_utils.models.seq2seq import Seq2Seq
from textgen_utils.models.transformer_seq2seq import TransformerSeq2Seq
from textgen_utils.training import EncodedPairs, train_pairs
from textgen_utils.training import pairs as pairs_module

# A word of two to four of the symbols 1 to 4, and the same backwards; 0 ends it.
WORDS = [word for length in (2, 3, 4) for word in product(range(1, 5), repeat=length)]
SHUFFLED = [WORDS[i] for i in np.random.default_rng(0).permutation(len(WORDS))]


def backwards(words):
    return EncodedPairs([list(word) for word in words], [[*word[::-1], 0] for word in words])


TRAIN, VALID = backwards(SHUFFLED[:-40]), backwards(SHUFFLED[-40:])
SETTINGS = {"steps": 4, "batch_size": 8, "eval_every": 2, "seed": 3}


def make(**changes):
    options = {"width": 8, "dropout": 0.2, "boundary": 0, "padding": 0, "seed": 1}
    return RecurrentSeq2Seq(5, 5, **{**options, **changes})


def transformer():
    return TransformerSeq2Seq(
        5, 5, max_context=5, width=8, heads=2, depth=1, boundary=0, padding=0, seed=1
    )


def run(model=None, train=TRAIN, valid=VALID, **changes):
    model = model or make()
    curve = train_pairs(model, train, valid, **{**SETTINGS, **changes})
    return model, curve


@pytest.fixture(scope="module")
def trained():
    model = make(width=48, dropout=0.0, attention="dot")
    settings = {"steps": 160, "batch_size": 64, "eval_every": 80, "learning_rate": 2e-2}
    return run(model, bounds=(3,), **settings)


# Training


def test_training_learns_to_write_words_backwards(trained):
    model, curve = trained
    written = translate(model, VALID.sources, 6)
    right = [[*ids, 0] == target for ids, target in zip(written, VALID.targets, strict=True)]
    assert np.mean(right) >= 0.9  # none of these words was seen; by chance one in hundreds
    assert curve.steps == [80, 160]
    best = evaluate_pairs(model, *VALID).nats_per_token
    assert best == pytest.approx(min(curve.valid), abs=1e-6)
    assert best < 0.2


def test_a_step_descends_the_mean_over_true_tokens():
    model, other = make(dropout=0.0), make(dropout=0.0)
    pairs = EncodedPairs(TRAIN.sources[:8], TRAIN.targets[:8])
    _, curve = run(model, pairs, steps=1, eval_every=1)
    # The loss is that of the weights before the step, on the one batch that there is.
    expected = evaluate_pairs(other, *pairs).nats_per_token
    assert curve.train == pytest.approx([expected], abs=1e-5)
    assert evaluate_pairs(model, *pairs).nats_per_token < expected


def test_a_run_that_was_stopped_goes_on_to_the_same_result(tmp_path, monkeypatch):
    settings = {"steps": 6, "bounds": (3,)}
    model, curve = run(**settings)
    calls = []

    def stops(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return evaluate_pairs(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(pairs_module, "evaluate_pairs", stops)
        with pytest.raises(KeyboardInterrupt):
            run(checkpoint=tmp_path / "c", **settings)
    resumed, again = run(make(seed=9), checkpoint=tmp_path / "c", **settings)
    assert again.steps == curve.steps == [2, 4, 6]
    np.testing.assert_allclose(again.train, curve.train, atol=1e-6)
    np.testing.assert_allclose(again.valid, curve.valid, atol=1e-6)
    for w, v in zip(resumed.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(w, v, atol=1e-6)
    for changes, what in (
        ({"bounds": (2,)}, "bounds"),
        ({"seed": 4}, "seed"),
        ({"train": backwards(SHUFFLED[:-41])}, "train"),
        ({"valid": backwards(SHUFFLED[-39:])}, "valid"),
    ):
        with pytest.raises(ValueError, match=f"other settings .*{what}: "):
            run(checkpoint=tmp_path / "c", **{**settings, **changes})


GOOD = EncodedPairs([[1, 2], [3]], [[2, 1, 0], [3, 0]])


@pytest.mark.parametrize("part", ["training", "validation"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sources": [], "targets": []}, "pairs are none"),
        ({"sources": [[1, 2]]}, "1 sources but 2 targets"),
        ({"sources": [[1, 2], []]}, "source 1 is empty"),
        ({"targets": [[], [3, 0]]}, "target 0 is empty"),
        ({"sources": [[1, 5], [3]]}, r"in \[0, 5\); got 1 to 5"),
        ({"targets": [[2, 1, 0], [-1, 0]]}, r"in \[0, 5\); got -1 to 2"),
        ({"sources": [[1.5, 2.0], [3.0]]}, "must be integers; got float64"),
        ({"targets": [[2] * 5 + [0], [3, 0]]}, "target of 6 tokens is longer than max_context = 5"),
    ],
)
def test_pairs_that_would_fail_later_are_refused_before_the_first_step(part, changes, message):
    bad = EncodedPairs(**{**GOOD._asdict(), **changes})
    arguments = {"train": bad} if part == "training" else {"valid": bad}
    model = transformer()
    before = model.get_weights()
    with pytest.raises(ValueError, match=f"{part} .*{message}"):
        run(model, **{"train": GOOD, "valid": GOOD, **arguments})
    for w, v in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(w, v)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 5}, "multiple of the 2"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"bounds": (3, 3)}, r"bounds must rise, got \(3, 3\)"),
    ],
)
def test_numbers_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        run(**changes)


# Scores of pairs


class Lengths:
    """No network: a target's token costs as many nats as its source has tokens."""

    max_context = None
    boundary = 0
    vocab_size = 2
    padded_targets = Seq2Seq.padded_targets
    check_length = Seq2Seq.check_length

    def __init__(self):
        self.shapes = set()

    def condition(self, sources):
        self.sources = sources
        return self

    def score(self, ids):
        self.shapes.add(ids.shape)
        return np.repeat([[-float(len(source))] for source in self.sources], ids.shape[1], axis=1)


PAIRS = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 20)), min_size=1, max_size=12)


@given(sizes=PAIRS, batch_size=st.integers(1, 14))
def test_each_token_is_scored_once_whatever_the_batch(sizes, batch_size):
    sources = [[1] * n for n, _ in sizes]
    targets = [[1] * (m - 1) + [0] for _, m in sizes]
    model = Lengths()
    report = evaluate_pairs(model, sources, targets, batch_size=batch_size, characters=7)
    nats, tokens = sum(n * m for n, m in sizes), sum(m for _, m in sizes)
    assert report.nats_per_token == pytest.approx(nats / tokens)
    assert report.bits_per_character == pytest.approx(nats / 7 / np.log(2))
    assert report.tokens == tokens
    assert len({rows for rows, _ in model.shapes}) == 1  # the last batch is filled up
    assert {time % 8 for _, time in model.shapes} == {0}


@pytest.mark.parametrize("batch_size", [1, 40])
def test_a_network_scores_pairs_as_it_scores_them_one_by_one(trained, batch_size):
    model, _ = trained
    total = 0.0
    for source, target in zip(*VALID, strict=True):
        total -= (
            model.condition([source])
            .score(np.array([target + [0] * (5 - len(target))]))[0, : len(target)]
            .sum()
        )
    report = evaluate_pairs(model, *VALID, batch_size=batch_size)
    assert report.tokens == sum(map(len, VALID.targets))
    assert report.nats_per_token == pytest.approx(total / report.tokens, abs=1e-5)


@pytest.mark.parametrize(
    ("sources", "targets", "options", "message"),
    [
        ([], [], {}, "nothing to score"),
        ([[1]], [[1, 0], [0]], {}, "1 sources but 2 targets"),
        ([[1], []], [[1, 0], [0]], {}, "source 1 is empty"),
        ([[1], [2]], [[1, 0], []], {}, "target 1 is empty"),
        ([[1]], [[1, 0]], {"batch_size": 0}, "batch_size must be at least 1"),
        ([[7]], [[1, 0]], {}, r"in \[0, 5\); got 0 to 7"),
        ([[1]], [[1, 1, 1, 1, 1, 0]], {}, "at most 5 tokens, got 6"),
    ],
)
def test_pairs_that_cannot_be_scored_are_refused(sources, targets, options, message):
    with pytest.raises(ValueError, match=message):
        evaluate_pairs(transformer(), sources, targets, **options)


# Greedy translation


def one_by_one(model, source, length):
    """Most probable tokens of one source, by `step`, up to the boundary."""
    lm = model.condition([source])
    state, token, written = lm.initial_state(1), model.boundary, []
    while len(written) < length:
        log_probs, state = lm.step(np.array([token]), state)
        token = int(log_probs[0].argmax())
        if token == model.boundary:
            break
        written.append(token)
    return written


@pytest.mark.parametrize(("length", "batch_size"), [(6, 16), (2, 40)])
def test_translations_are_greedy_in_the_order_of_their_sources(trained, length, batch_size):
    model, _ = trained
    written = translate(model, VALID.sources, length, batch_size=batch_size)
    expected = [one_by_one(model, source, length) for source in VALID.sources]
    assert [ids.tolist() for ids in written] == expected
    assert {ids.dtype for ids in written} == {np.dtype("int32")}
    longest = max(map(len, expected))
    assert longest == 2 if length == 2 else longest > 2
    assert len({len(source) for source in VALID.sources}) > 1


def test_nothing_to_translate_gives_nothing_and_bad_sources_are_named(trained):
    model, _ = trained
    assert translate(model, [], 5) == []
    with pytest.raises(ValueError, match="source 2 is empty"):
        translate(model, [[1], [2, 3], []], 5)
    with pytest.raises(ValueError, match=r"in \[0, 5\); got 0 to 6"):
        translate(model, [[1], [6]], 5)
    with pytest.raises(ValueError, match="length must be at least 1, got 0"):
        translate(model, [[1]], 0)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        translate(model, [[1]], 5, batch_size=0)
    with pytest.raises(ValueError, match="at most 5 tokens"):
        translate(transformer(), [[1]], 6)


# Batches of similar lengths

BUCKETS = st.fixed_dictionaries(
    {
        "lengths": st.lists(st.integers(1, 9), min_size=1, max_size=30),
        "bounds": st.sets(st.integers(1, 9), max_size=3).map(sorted),
        "batch_size": st.integers(1, 6),
        "seed": st.integers(0, 2**32),
    }
)


def batches_of(lengths, bounds, batch_size, seed, steps=4):
    """Batches of sources of these lengths; pair i is recognised by the first target token."""
    sources = [[1] * n for n in lengths]
    targets = [[100 + i, 9] for i in range(len(lengths))]
    return PairBatches(
        sources, targets, batch_size, steps, seed, boundary=9, padding=0, bounds=bounds
    )


@given(BUCKETS)
def test_each_pair_is_used_once_before_any_of_its_bucket_is_used_again(drawn):
    lengths, bounds = np.array(drawn["lengths"]), drawn["bounds"]
    bucket = np.searchsorted(bounds, lengths)
    batches = batches_of(**drawn)
    seen = {b: [] for b in np.unique(bucket)}
    counts = dict.fromkeys(seen, 0)
    passes = 3
    for index in range(passes * len(batches.order)):
        (source, shifted), target, mask = batches[index]
        pairs = target[:, 0] - 100
        here = bucket[pairs[0]]
        assert (bucket[pairs] == here).all()
        assert source.shape == (drawn["batch_size"], lengths[bucket == here].max())
        np.testing.assert_array_equal((source == 1).sum(axis=1), lengths[pairs])
        np.testing.assert_array_equal(shifted, np.stack([np.full_like(pairs, 9), pairs + 100], 1))
        assert mask.all()
        seen[here] += pairs.tolist()
        counts[here] += 1
    for here, pairs in seen.items():
        members = np.flatnonzero(bucket == here).tolist()
        for start in range(0, len(pairs) - len(members) + 1, len(members)):
            assert sorted(pairs[start : start + len(members)]) == members
        expected = max(1, round(len(members) / drawn["batch_size"]))
        assert counts[here] == passes * expected


def test_where_the_numbers_divide_a_pass_has_every_pair_once():
    batches = batches_of([1, 2, 5, 6, 2, 1, 9, 9], [2, 6], 2, seed=1)
    for start in (0, 4, 8):
        seen = [batches[start + i][1][:, 0] for i in range(4)]
        assert sorted(np.concatenate(seen).tolist()) == list(range(100, 108))
    assert {batches[i][0][0].shape[1] for i in range(4)} == {2, 6, 9}


@given(BUCKETS)
def test_the_first_two_batches_tell_which_axes_vary(drawn):
    sources = [[1] * n for n in drawn["lengths"]]
    targets = [[1] * (n % 3) + [9] for n in drawn["lengths"]]
    batches = PairBatches(
        sources,
        targets,
        drawn["batch_size"],
        2,
        drawn["seed"],
        boundary=9,
        padding=0,
        bounds=drawn["bounds"],
    )
    count = max(2, len(batches.order))
    shapes = [(batches[i][0][0].shape, batches[i][1].shape) for i in range(count)]
    for first, second, *others in zip(*shapes, strict=True):
        assert (first != second) == (len({first, second, *others}) > 1)


def test_an_epoch_goes_on_where_the_last_one_ended():
    whole = batches_of([1, 2, 5, 6, 2], [2], 2, seed=1, steps=6)
    parts = batches_of([1, 2, 5, 6, 2], [2], 2, seed=1, steps=3)
    parts.epoch = 1
    for index in range(3):
        np.testing.assert_array_equal(parts[index][1], whole[3 + index][1])
    parts.on_epoch_end()
    assert parts.epoch == 2


def test_without_bounds_batches_are_cuts_of_one_shuffled_series():
    lengths, seed = [3, 1, 4, 1, 5], 7
    series = np.concatenate([np.random.default_rng((seed, e)).permutation(5) for e in range(4)])
    batches = batches_of(lengths, (), 2, seed, steps=10)
    for index in range(10):
        np.testing.assert_array_equal(
            batches[index][1][:, 0] - 100, series[2 * index : 2 * index + 2]
        )
        assert batches[index][0][0].shape == (2, 5)


@pytest.mark.parametrize("bounds", [(3, 2), (2, 2)])
def test_bounds_that_do_not_rise_are_refused(bounds):
    with pytest.raises(ValueError, match="bounds must rise"):
        batches_of([1, 2, 3], bounds, 2, seed=0)


def test_an_epoch_of_one_batch_cannot_have_bounds():
    with pytest.raises(ValueError, match="with bounds an epoch needs 2 steps or more, got 1"):
        batches_of([1, 2, 3], [2], 2, seed=0, steps=1)


def test_no_pairs_are_refused_with_bounds_too():
    with pytest.raises(ValueError, match="at least one sequence"):
        batches_of([], [3], 2, seed=0)
