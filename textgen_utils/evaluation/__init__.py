"""How good a model is: the probability it gives to text, and what it writes."""

from textgen_utils.evaluation.calibration import (
    Reliability,
    brier_score,
    calibration_error,
    reliability,
    top_forecast,
)
from textgen_utils.evaluation.diversity import distinct_n, looping, repetition, self_bleu
from textgen_utils.evaluation.likelihood import Report, check_text, evaluate, token_log_probs
from textgen_utils.evaluation.metrics import (
    Bleu,
    bleu,
    exact_match,
    phoneme_error_rate,
    word_error_rate,
)
from textgen_utils.evaluation.pairs import evaluate_pairs
from textgen_utils.evaluation.truth import (
    Distance,
    distance,
    distance_between,
    text_log_probs,
)
from textgen_utils.evaluation.windows import WindowLoss, random_window_loss

__all__ = [
    "Bleu",
    "Distance",
    "Reliability",
    "Report",
    "WindowLoss",
    "bleu",
    "brier_score",
    "calibration_error",
    "check_text",
    "distance",
    "distance_between",
    "distinct_n",
    "evaluate",
    "evaluate_pairs",
    "exact_match",
    "looping",
    "phoneme_error_rate",
    "random_window_loss",
    "reliability",
    "repetition",
    "self_bleu",
    "text_log_probs",
    "token_log_probs",
    "top_forecast",
    "word_error_rate",
]
