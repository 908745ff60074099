"""Our n-gram model in the ARPA format, which KenLM and others read.

Source: the format as described in the manual of D. Jurafsky's and A. Stolcke's SRILM,
`ngram-format`: for each gram log10 p(w | h), the gram, and log10 of the weight with which the
order below counts after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from textgen_utils.models.ngram import NGram

NEVER = -99.0  # log10 of the probability of what is never predicted: the start of a line


def write(model: NGram, symbols: Sequence[str], unknown: int, path: Path) -> None:
    """Write a fitted Kneser-Ney model of independent lines.

    Args:
        model: fitted with `independent_lines`.
        symbols: of each id, without white space; the boundary becomes <s> and </s>, the unknown
            token <unk>.
        unknown: its id.
        path: the file.
    """
    orders = list(_orders(model, [*symbols], unknown))
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write("\\data\\\n")
        file.writelines(f"ngram {k}={len(rows)}\n" for k, rows in enumerate(orders, 1))
        for k, rows in enumerate(orders, 1):
            file.write(f"\n\\{k}-grams:\n")
            file.writelines(rows)
        file.write("\n\\end\\\n")


def _orders(model: NGram, symbols: list[str], unknown: int) -> Iterator[list[str]]:
    """The lines of each order."""
    symbols[model.boundary], symbols[unknown] = "</s>", "<unk>"
    starts = [*symbols]
    starts[model.boundary] = "<s>"
    orders = model._orders
    names, suffix, p = [""], np.zeros(1, dtype=np.int64), np.array([1 / model.vocab_size])
    for k, order in enumerate(orders, 1):
        h, w = np.divmod(order.keys, model.vocab_size)
        # the gram without its first token, which the order below holds, for every gram of ours
        shorter = np.zeros_like(h) if k == 1 else orders[k - 2].find(suffix[h], w)
        p = order.a[:-2] + order.gamma[h] * p[shorter]
        weights = np.ones(len(p)) if k == len(orders) else orders[k].gamma[:-2]
        written = [f"{names[i]}{symbols[j]}" for i, j in zip(h.tolist(), w.tolist(), strict=True)]
        log_p, log_weight = _log10(p), _log10(weights)
        rows = list(_rows(log_p, written, log_weight, last=k == len(orders)))
        if k == 1:
            rows[model.boundary] = f"{log_p[model.boundary]:.9g}\t</s>\t0\n"
            rows.append(f"{NEVER}\t<s>\t{log_weight[model.boundary]:.9g}\n")
        yield rows
        names = [f"{s} " for s in (starts if k == 1 else written)]
        suffix = shorter


def _log10(p: np.ndarray) -> np.ndarray:
    """NEVER for 0."""
    return np.log10(np.maximum(p, 10**NEVER))


def _rows(p: np.ndarray, grams: list[str], weights: np.ndarray, *, last: bool) -> Iterator[str]:
    for log_p, gram, weight in zip(p.tolist(), grams, weights.tolist(), strict=True):
        yield f"{log_p:.9g}\t{gram}\n" if last else f"{log_p:.9g}\t{gram}\t{weight:.9g}\n"
