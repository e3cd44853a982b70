"""What span_electra says of itself: its figures, and the yardstick in each evaluation."""

from __future__ import annotations

from par.core.metrics import Figure
from par.objectives.contract import Contract, Ranking
from par.objectives.electra_settings import (
    OF_LAYERS,
    SpanElectraSettings,
    check_source,
    check_span_electra,
    layers_from,
)


def _part(name: str, label: str, better: str = "higher", **how: object) -> Figure:
    """The mean of a part, or a ranking."""
    return Figure(name, label, lambda sums: sums.part(name), better=better, **how)


def _nats(name: str, label: str, **how: object) -> Figure:
    tag = f"loss/{name}"
    return _part(name, label, "lower", unit="nats", tag=tag, is_detail=True, **how)


FIGURES = (
    _part("auc", "AUC of replaced tokens", brief="AUC", short="AUC", logged="AUC"),
    Figure(
        "nll_per_token",
        "loss per token",
        lambda sums: sums.nll / sums.tokens,
        "nats",
        digits=3,
        brief="loss",
        logged="loss",
        tag="loss/nll_per_token",
    ),
    _part("replaced", "share of replaced tokens", brief="replaced", logged="replaced"),
    _part("accuracy", "accuracy of the generator", logged="generator accuracy"),
    _part("bigram_auc", "AUC of the bigram detector", brief="bigram detector"),
    _part("masked_auc", "AUC among masked tokens", is_detail=True),
    _part("confidence_auc", "AUC of the generator's confidence", is_detail=True),
    _nats("detection_nll", "nll of detection", logged="detection"),
    _nats("span_nll", "nll of detection from boundaries"),
    _nats("generator_nll", "nll of the generator", logged="generator"),
    _nats("boundary_nll", "nll of the generator from boundaries"),
    _part("boundary_accuracy", "accuracy of the generator from boundaries", is_detail=True),
)
SPAN_ELECTRA = Contract(
    name="span_electra",
    network="par.objectives.electra.span_electra:SpanElectra",
    visibility="bidirectional",
    generates=False,
    detects=True,
    instead="use embed, or model.replaced in Python",
    exports=("replaced", "embed"),
    figures=FIGURES,
    compared=("auc", "nll_per_token"),
    tracked="nll_per_token",
    charts={
        "Detection": {"AUC": "auc", "bigram detector": "bigram_auc"},
        "Generator": {"accuracy": "accuracy", "from boundaries": "boundary_accuracy"},
        "Loss": {"per token": "nll_per_token"},
    },
    parts=(
        "replaced",
        "accuracy",
        "detection_nll",
        "span_nll",
        "generator_nll",
        "boundary_nll",
        "boundary_accuracy",
    ),
    training_parts=("replaced", "detection_nll", "generator_nll"),
    token_values=("logit", "unlikely", "seen"),
    rankings=(
        Ranking("auc", "logit", "replaced"),
        Ranking("bigram_auc", "bigrams", "replaced", "logit"),
        Ranking("masked_auc", "logit", "replaced", "unlikely"),
        Ranking("confidence_auc", "unlikely", "replaced"),
    ),
    detectors=("bigrams",),
    must_beat={"auc": "bigram_auc"},
    helps="more epochs may help, or --init_from=RUN of masked_lm",
    layers_from=layers_from,
    of_layers=OF_LAYERS,
    check_source=check_source,
    draws=2,
    predicted=lambda settings, seq_len: 0,
    helpers=SpanElectraSettings.helpers,
    shares_table=SpanElectraSettings.shares_table,
    settings=SpanElectraSettings,
    check=check_span_electra,
)
