"""Tiny Shakespeare through the functions of the notebooks: do they find what is to be found?"""

import os

import numpy as np
import pytest

from textgen_utils import information
from textgen_utils.corpora import shakespeare
from textgen_utils.evaluation import evaluate
from textgen_utils.models.ngram import NGram
from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.tokenizers import Characters
from textgen_utils.training import muon, train, warmup_cosine

pytestmark = pytest.mark.skipif(
    not os.environ.get("TEXTGEN_DATA"), reason="real data: set TEXTGEN_DATA=DIR to test on it"
)


@pytest.fixture(scope="module")
def text():
    """The tokenizer, and the ids of train and valid."""
    corpus = shakespeare.load()
    tokenizer = Characters.fit(corpus.train)
    return tokenizer, tokenizer.encode(corpus.train), tokenizer.encode(corpus.valid)


def test_counting_to_seven(text):
    tokenizer, train_ids, valid_ids = text
    assert tokenizer.vocab_size == 65  # as published with nanoGPT
    model = NGram(7, tokenizer.vocab_size, tokenizer.boundary).fit(train_ids)
    report = evaluate(model, valid_ids)
    assert report.tokens == report.characters == 111_540
    assert 1.50 < report.nats_per_token < 1.53
    shorter = NGram(3, tokenizer.vocab_size, tokenizer.boundary).fit(train_ids)
    assert report.nats_per_token < evaluate(shorter, valid_ids).nats_per_token - 0.2


def test_sixty_steps_of_an_lstm(text):
    tokenizer, train_ids, valid_ids = text
    model = LSTMLanguageModel(
        tokenizer.vocab_size, width=128, memory=64, boundary=tokenizer.boundary, seed=0
    )
    curve = train(
        model,
        train_ids,
        valid_ids[:20_000],
        steps=60,
        window=64,
        batch_size=32,
        eval_every=30,
        optimizer=muon(warmup_cosine(0.02, 60)),
        seed=0,
    )
    unigram = information.entropy(np.bincount(valid_ids[:20_000]) / 20_000)
    assert curve.valid[1] < curve.valid[0] < np.log(tokenizer.vocab_size)
    assert curve.valid[-1] < unigram - 0.3  # letters are not drawn one by one
    assert evaluate(model, valid_ids[:20_000], context=64).nats_per_token == pytest.approx(
        min(curve.valid), abs=1e-4
    )
