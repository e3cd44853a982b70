"""What a composed model (tools/compose.py) says of itself: hidden states of several trained trunks
side by side, and nothing that it predicts. No command trains one; towers are trained on it."""

from __future__ import annotations

from par.core import metrics
from par.objectives.contract import Contract

COMPOSED = Contract(
    name="composed",
    network="par.objectives.composed:ComposedNetwork",
    visibility="bidirectional",  # each part keeps its own
    generates=False,
    predicts=False,
    instead="use embed or probe, or train a tower on it with --base",
    exports=("embed",),
    figures=(metrics.LOSS_PER_TEXT,),
    compared=("nll_per_token",),
    tracked="nll_per_token",
    charts={},
    predicted=lambda settings, seq_len: 0,
)
