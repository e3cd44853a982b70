"""The settings of span_electra. Needs no TensorFlow."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from par.core.config import ModelConfig
from par.core.errors import SettingError
from par.core.setting_group import Group, setting
from par.data.tokenizer import SPECIAL_PIECES
from par.objectives.contract import Helper
from par.objectives.settings import most_selected
from par.search import architecture

SPAN_RATE = 0.25  # of the tokens that are masked in evaluations, whatever the rate of training
SPAN_P, SPAN_MAX = 0.2, 10  # of the lengths of spans: a mean of 3.8 (Joshi et al. 2020)


@dataclasses.dataclass(frozen=True)
class SpanElectraSettings(Group):
    """What is replaced, by which generator, and what the network, the discriminator, tells of it
    (par.objectives.electra.span_electra)."""

    generator: str = setting(
        "joint",
        "what fills the masked spans: joint, a small network that learns beside the"
        " discriminator; frozen, one that does not, with the weights of --init_from; random, any"
        " piece, each as often",
        choices=("joint", "frozen", "random"),
    )
    generator_share: float = setting(
        0.25,
        "width of the generator as a share of the network's: heads, width of a head and of dense"
        " blocks follow",
        minimum=1e-3,
        maximum=1.0,
    )
    generator_blocks: str = setting(
        "adad",
        "blocks of the generator, none of them stochastic, or an architecture.json",
        is_path=True,
    )
    span_rate: float = setting(
        SPAN_RATE,
        "share of a window's ordinary tokens that is masked and replaced, in spans; scores are"
        " always of 25 %",
        minimum=0.0,
        maximum=1.0,
    )
    sample: str = setting(
        "draw",
        "replacements are drawn from the generator's distribution, or its most probable pieces",
        choices=("draw", "argmax"),
    )
    sbgo: bool = setting(
        True,
        "the generator also predicts each token of a span from the span's boundaries, and"
        " replacements come from the mean of both distributions; without effect on a random one",
    )
    ato: bool = setting(True, "the discriminator tells of every token whether it was replaced")
    sbpo: bool = setting(
        True, "the discriminator tells it of the tokens of a span from the span's boundaries, too"
    )
    disc_weight: float = setting(
        50.0,
        "weight of the discriminator's losses beside the generator's",
        minimum=1e-3,
        maximum=1e6,
    )
    share_embeddings: str = setting(
        "none",
        "of generator and discriminator: none; tied, one table that both train; gdes, the"
        " discriminator adds to the generator's table, which its gradient does not reach, one of"
        " its own",
        choices=("none", "tied", "gdes"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        blocks = architecture.parse(self.generator_blocks).blocks
        if "s" in blocks:
            raise SettingError(
                "generator_blocks must be fixed, as the search is the discriminator's, but are"
                f" {self.generator_blocks}",
                "generator_blocks",
            )
        object.__setattr__(self, "generator_blocks", blocks)
        if not (self.ato or self.sbpo):
            raise SettingError(
                "one of ato and sbpo must be on, or the discriminator learns nothing", "ato"
            )
        without = {"tied": ("joint",), "gdes": ("joint", "frozen")}.get(self.share_embeddings)
        if without and self.generator not in without:
            why = "has no table" if self.generator == "random" else "would be changed"
            raise SettingError(
                f"share_embeddings={self.share_embeddings} needs generator="
                f"{' or '.join(without)}: a {self.generator} generator {why}",
                "share_embeddings",
            )

    @property
    def has_generator(self) -> bool:
        """Whether the generator has weights."""
        return self.generator != "random"

    def generator_changes(self, model: ModelConfig) -> dict[str, Any]:
        """What the generator's shape has otherwise than the network's. It has no memory."""
        width = model.d_model // model.num_heads
        heads = max(1, math.floor(self.generator_share * model.num_heads + 0.5))
        heads += (width * heads) % 2
        return {
            "num_heads": heads,
            "d_model": width * heads,
            "d_ffn": max(1, math.floor(self.generator_share * model.d_ffn + 0.5)),
            "mem_len": 0,
        }

    def shares_table(self) -> str:
        """The setting by which generator and network share embeddings, "" if they do not."""
        is_shared = self.has_generator and self.share_embeddings != "none"
        return f"share_embeddings={self.share_embeddings}" if is_shared else ""

    def helpers(self, model: ModelConfig, seq_len: int) -> tuple[Helper, ...]:
        """The generator, whose softmax is computed for the most tokens of a row that are masked,
        and once more for SBGO."""
        if not self.has_generator:
            return ()
        shape = dataclasses.replace(model, **self.generator_changes(model))
        predicted = most_selected(self.span_rate, seq_len) * (1 + self.sbgo)
        is_trained = self.generator == "joint"
        return (Helper(self.generator_blocks, shape, predicted, is_trained),)


# settings that give the layers a shape
OF_LAYERS = (
    "has_generator",
    "generator_share",
    "generator_blocks",
    "share_embeddings",
    "sbgo",
    "ato",
    "sbpo",
)


def layers_from(settings: SpanElectraSettings, objective: str) -> dict[str, str]:
    """Of a masked language model the discriminator takes the trunk. A generator of the same width
    takes it, too, and the softmax (the two-stage training of Clark et al. 2020); a shared table is
    that of the trunk in any case."""
    if objective != "masked_lm":
        return {}
    found = {"trunk": "trunk"}
    if settings.has_generator and settings.generator_share == 1.0:
        found = {"generator": "trunk", "generator_head": "head"} | found
    elif settings.share_embeddings == "gdes":
        found = {"generator/embedding": "trunk"} | found
    return found


def check_source(config: Any, source: Any, layers: str) -> None:
    """Raises: UsageError for a frozen generator without weights, or whose blocks the source does
    not have. source: the settings of a run; None if the weights are random."""
    settings = config.objective_settings
    is_whole = source is not None and layers == "all"
    is_other = is_whole and source.objective != config.objective
    is_taken = is_whole and (not is_other or settings.generator_share == 1.0)
    if settings.generator == "frozen" and not is_taken:
        raise SettingError(
            "generator=frozen needs trained weights: give --init_from=RUN of span_electra, or"
            " of masked_lm beside --generator_share=1, and --init_layers=all; a comparison, which"
            " trains from random weights, can't have one",
            "generator",
        )
    if is_other and settings.has_generator and settings.generator_share == 1.0:
        theirs = source.architecture.blocks
        if bad := architecture.unheld(settings.generator_blocks, theirs):
            raise SettingError(
                f"generator_blocks {settings.generator_blocks} can't take the weights of a run"
                f" whose blocks are {theirs}: {bad}",
                "generator_blocks",
            )


def check_span_electra(config: Any) -> None:
    """Raises: UsageError for a run that could replace no token of a window."""
    settings, data = config.objective_settings, config.data
    for rate in (settings.span_rate, SPAN_RATE):
        if math.floor(rate * data.seq_len + 0.5) < 1:
            raise SettingError(
                f"span_rate of {rate} masks no token of a window of {data.seq_len}: raise it, or"
                " build the data with a larger --seq_len",
                "span_rate",
            )
    if data.vocab_size <= len(SPECIAL_PIECES) + 1:
        raise SettingError(
            f"span_electra needs more than one piece beside the {len(SPECIAL_PIECES)} special"
            f" ones, but the data has {data.vocab_size} in all"
        )
