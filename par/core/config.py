"""Every setting, written once: its name, default, reason and check. The flags of the tools are
generated from here.

Four frozen groups: `DataConfig` (what build_data makes), `ModelConfig` (the network),
`SearchConfig` (how the block kinds
are learnt), `TrainingConfig` (how weights are learnt); `LoggingConfig` holds what may change when
a run is continued.
"""

from __future__ import annotations

import dataclasses
import sys
import typing
from typing import Any, Self

from par.core.errors import SettingError, UsageError

NONE = "none"  # the word for no numbers


def setting(
    default: Any,
    reason: str,
    *,
    choices: tuple = (),
    minimum: float | None = None,
    maximum: float | None = None,
    words: tuple[str, ...] = (),
) -> Any:
    """A dataclass field with its reason (the flag's help) and its bounds (both inclusive).

    A default of None means that the setting may be left open; only then its value may be None,
    too.
    words: the flag takes one of them in place of numbers. NONE stands for no numbers, where a
    recipe has some; for another word the command puts
    numbers there before it makes the group, which never holds a word.
    """
    rules = {"choices": choices, "minimum": minimum, "maximum": maximum, "words": words}
    return dataclasses.field(default=default, metadata={"reason": reason, **rules})


@dataclasses.dataclass(frozen=True)
class Group:
    """Base of the setting groups: checks at construction, JSON both ways."""

    def __post_init__(self) -> None:
        for field, kind in fields(type(self)):
            value = getattr(self, field.name)
            if typing.get_origin(kind) is tuple:
                if not isinstance(value, (list, tuple)):
                    raise SettingError(
                        f"{field.name} must be a list, but is {value!r}", field.name
                    )
                checked = tuple(_checked(field, typing.get_args(kind)[0], item) for item in value)
            else:
                checked = _checked(field, kind, value)
            object.__setattr__(self, field.name, checked)

    @classmethod
    def choices(cls, name: str) -> tuple[str, ...]:
        """The values that a setting may have, () where it is not a choice."""
        return next(field.metadata["choices"] for field, _ in fields(cls) if field.name == name)

    @classmethod
    def maximum(cls, name: str) -> float:
        """The largest value that a setting may have."""
        return next(field.metadata["maximum"] for field, _ in fields(cls) if field.name == name)

    @classmethod
    def words(cls, name: str) -> tuple[str, ...]:
        """The words that a setting's flag takes in place of numbers."""
        return next(field.metadata["words"] for field, _ in fields(cls) if field.name == name)

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON values; tuples become lists."""
        return {
            field.name: (
                list(value) if isinstance(value := getattr(self, field.name), tuple) else value
            )
            for field, _ in fields(type(self))
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Inverse of `to_json`. Raises: UsageError for unknown or missing keys and for values that
        fail a check."""
        if not isinstance(value, dict):
            raise UsageError(f"{cls.__name__} must be a JSON object, but is {value!r}")
        known = {field.name for field, _ in fields(cls)}
        if set(value) != known:
            unknown, missing = sorted(set(value) - known), sorted(known - set(value))
            raise UsageError(
                f"{cls.__name__} must have exactly the keys {', '.join(sorted(known))}; unknown:"
                f" {unknown}, missing: {missing}"
            )
        return cls(**value)


def _checked(field: dataclasses.Field, kind: type, item: Any) -> Any:
    """One value of a setting, as `kind`. Raises: SettingError with the setting's name, the rule
    and the value."""
    name, rules = field.name, field.metadata
    if item is None and field.default is None:
        return None
    accepted = (int, float) if kind is float else kind
    if not isinstance(item, accepted) or (isinstance(item, bool) and kind is not bool):
        raise SettingError(f"{name} must be of type {kind.__name__}, but is {item!r}", name)
    if kind is float:
        if not abs(item) <= sys.float_info.max:
            raise SettingError(f"{name} must be finite, but is {item!r}", name)
        item = float(item)
    if rules["choices"] and item not in rules["choices"]:
        raise SettingError(
            f"{name} must be one of {', '.join(map(str, rules['choices']))}, but is {item!r}", name
        )
    if rules["minimum"] is not None and item < rules["minimum"]:
        raise SettingError(f"{name} must be at least {rules['minimum']}, but is {item!r}", name)
    if rules["maximum"] is not None and item > rules["maximum"]:
        raise SettingError(f"{name} must be at most {rules['maximum']}, but is {item!r}", name)
    return item


def fields(cls: type) -> list[tuple[dataclasses.Field, type]]:
    """The fields of a group with their resolved types; of one that may be None, the type of its
    other values."""
    hints = typing.get_type_hints(cls)
    return [(field, _without_none(hints[field.name])) for field in dataclasses.fields(cls)]


def _without_none(hint: Any) -> Any:
    return typing.get_args(hint)[0] if type(None) in typing.get_args(hint) else hint


MAX_VOCAB_SIZE = 4_000_000


@dataclasses.dataclass(frozen=True)
class DataConfig(Group):
    """Text to records (tools/build_data.py)."""

    corpus: str = setting(
        "",
        "a named corpus: python-docs (embedded); wikitext-2, wikitext-2-small, wikitext-103"
        " (downloaded, or placed in data/)",
    )
    input_text: str = setting(
        "",
        "own text: a file, a directory, or a glob; a directory with train.txt, valid.txt and"
        " test.txt is taken as it is",
    )
    split_fractions: tuple[float, ...] = setting(
        (0.9, 0.05, 0.05),
        "shares of train, valid and test when the input has no splits",
        minimum=0.0,
        maximum=1.0,
    )
    vocab_size: int = setting(
        0,
        "vocabulary size V, special and byte pieces included; 0: 4,000, or all words or characters"
        " of a word or char model",
        minimum=0,
        maximum=MAX_VOCAB_SIZE,
    )
    model_type: str = setting(
        "unigram", "SentencePiece model", choices=("unigram", "bpe", "word", "char")
    )
    lowercase: bool = setting(
        False, "lower-case by NFKC case folding; perplexities then count lower-cased text"
    )
    symbols: tuple[str, ...] = setting(
        (), "a text's own symbol that stays one piece, such as <unk> (named corpora bring theirs)"
    )
    batch_size: int = setting(32, "parallel text streams B", minimum=1, maximum=1 << 20)
    seq_len: int = setting(32, "window length T in tokens", minimum=1, maximum=1 << 20)
    shards: int = setting(1, "record files per split", minimum=1, maximum=99_999)
    tokenizer_model: str = setting(
        "",
        "an existing SentencePiece model instead of training one; its kind, size, case and symbols"
        " count",
    )
    tokenizer_sample_lines: int = setting(
        0,
        "train a unigram or BPE model on about so many lines, drawn evenly; 0: on all, or on as"
        " many as make 32 MiB",
        minimum=0,
        maximum=1 << 40,
    )
    tokenizer_threads: int = setting(
        2,
        "threads of SentencePiece's trainer: its result depends on their number",
        minimum=1,
        maximum=1024,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.corpus) == bool(self.input_text):
            raise UsageError(
                f"give either --corpus or --input_text, but corpus is {self.corpus!r} and"
                f" input_text {self.input_text!r}"
            )
        if (
            len(self.split_fractions) != 3
            or abs(sum(self.split_fractions) - 1) > 1e-6
            or min(self.split_fractions) <= 0
        ):
            said = (
                "split_fractions must be three positive shares that add up to 1, but are"
                f" {list(self.split_fractions)}"
            )
            raise SettingError(said, "split_fractions")
        if 0 < self.vocab_size < 16:
            raise SettingError(
                f"vocab_size must be at least 16, or 0, but is {self.vocab_size}", "vocab_size"
            )


@dataclasses.dataclass(frozen=True)
class ModelConfig(Group):
    """The network's shape. The vocabulary comes from the data, the block kinds from the
    architecture."""

    d_model: int = setting(128, "model width D", minimum=2, maximum=1 << 16)
    num_heads: int = setting(
        4, "attention heads H; D must be a multiple", minimum=1, maximum=1 << 10
    )
    d_ffn: int = setting(512, "width F of a dense block", minimum=1, maximum=1 << 20)
    mem_len: int = setting(
        32,
        "memory length M in tokens: what a block still sees of the windows before",
        minimum=0,
        maximum=1 << 20,
    )
    dropout_rate: float = setting(
        0.1,
        "share of activations dropped, after the embedding and after each block",
        minimum=0.0,
        maximum=0.99,
    )
    norm: str = setting(
        "pre",
        "pre: one norm in front of a block, shared by its branches; post: one behind each branch",
        choices=("pre", "post"),
    )
    cutoffs: tuple[int, ...] = setting(
        (),
        "adaptive softmax: first id of each tail cluster; none: plain softmax; auto: the fastest"
        " for the data's counts, by timing this machine",
        minimum=1,
        words=("auto", NONE),
    )
    proj_factor: float = setting(
        4.0,
        "adaptive softmax: tail cluster i works at width D / proj_factor^i",
        minimum=1.0,
        maximum=1024.0,
    )
    proj_dims: tuple[int, ...] = setting(
        (),
        "adaptive softmax: the tail widths themselves, one per tail cluster",
        minimum=1,
        maximum=1 << 16,
    )
    tie_embeddings: bool = setting(
        False,
        "the softmax uses the embedding's vectors, in its tails through a projection, instead of"
        " its own",
    )
    precision: str = setting(
        "f32",
        "factors of matrix products; bf16: bfloat16, with sums, norms and weights in float32",
        choices=("f32", "bf16"),
    )
    init_std: float = setting(
        0.02, "standard deviation of the initial weights", minimum=0.0, maximum=1.0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.d_model % 2 or self.d_model % self.num_heads:
            said = (
                f"d_model must be even and a multiple of num_heads, but d_model is {self.d_model}"
                f" and num_heads {self.num_heads}"
            )
            raise SettingError(said, "d_model", "num_heads")
        if list(self.cutoffs) != sorted(set(self.cutoffs)):
            raise SettingError(
                f"cutoffs must increase strictly, but are {list(self.cutoffs)}", "cutoffs"
            )
        if self.proj_dims and len(self.proj_dims) != len(self.cutoffs):
            said = (
                f"proj_dims must give one width per tail cluster: {len(self.cutoffs)} cutoffs,"
                f" {len(self.proj_dims)} widths"
            )
            raise SettingError(said, "proj_dims")

    @property
    def tail_widths(self) -> tuple[int, ...]:
        """Width at which each tail cluster of the adaptive softmax works."""
        return self.proj_dims or tuple(
            max(1, int(self.d_model // self.proj_factor ** (i + 1)))
            for i in range(len(self.cutoffs))
        )

    def check_vocabulary(self, vocab_size: int, remedy: str = "") -> None:
        """Raises: UsageError for no vocabulary size; with the `remedy` that a command has, unless
        every cutoff lies inside the vocabulary."""
        if type(vocab_size) is not int or not 1 <= vocab_size <= MAX_VOCAB_SIZE:
            raise UsageError(
                f"vocab_size must be an integer from 1 to {MAX_VOCAB_SIZE}, but is {vocab_size!r}"
            )
        if self.cutoffs and self.cutoffs[-1] >= vocab_size:
            raise UsageError(
                f"cutoffs must lie below the vocabulary size {vocab_size}, but are"
                f" {list(self.cutoffs)}{remedy}"
            )


@dataclasses.dataclass(frozen=True)
class SearchConfig(Group):
    """How stochastic blocks choose. Without effect on a network that has none."""

    sampling: str = setting(
        "soft",
        "soft: mixture of all kinds; straight_through: one kind forward, all backward;"
        " single_path: one kind, and only that is computed",
        choices=("soft", "straight_through", "single_path"),
    )
    paths: int = setting(
        2,
        "single_path: paths a step whose losses teach the logits, the first also the weights; 1:"
        " the logits learn through its weight (GDAS)",
        minimum=1,
        maximum=64,
    )
    prune_below: float = setting(
        0.0,
        "a kind whose probability has stayed below this leaves the search and is no longer"
        " computed; 0: none",
        minimum=0.0,
        maximum=0.33,
    )
    prune_patience: int = setting(
        100, "steps for which the probability must have stayed below", minimum=1, maximum=1 << 30
    )
    tau_start: float = setting(
        1.0, "Gumbel-Softmax temperature at the first step", minimum=1e-3, maximum=1e3
    )
    tau_end: float = setting(0.1, "temperature at the last step", minimum=1e-3, maximum=1e3)
    tau_schedule: str = setting(
        "exponential", "shape of the annealing", choices=("exponential", "linear", "cosine")
    )
    arch_lr: float = setting(
        1e-2, "learning rate of the architecture logits", minimum=0.0, maximum=10.0
    )
    arch_schedule: str = setting(
        "constant",
        "constant, or cosine: the same warm-up and decay as the weights",
        choices=("constant", "cosine"),
    )
    arch_weight_decay: float = setting(
        0.0, "decoupled weight decay of the architecture logits", minimum=0.0, maximum=10.0
    )
    arch_warmup: int = setting(
        0, "steps at first in which the logits rest", minimum=0, maximum=1 << 30
    )
    entropy_weight: float = setting(
        0.0,
        "loss per nat of pi's entropy, summed over the blocks, that the logits are spared at"
        " first; falls to 0",
        minimum=0.0,
        maximum=1e3,
    )
    bilevel: bool = setting(
        False,
        "the logits learn on held-out steps, from which the weights never learn; else both learn"
        " on every step",
    )
    arch_fraction: float = setting(
        0.2,
        "bilevel: share of an epoch's steps that is held out, the same ones in every epoch",
        minimum=0.0,
        maximum=1.0,
    )
    stop_when_stable: int = setting(
        0,
        "end when the likeliest kind has not changed for so many epochs in a stable_share of the"
        " blocks; 0: never",
        minimum=0,
        maximum=1_000_000,
    )
    stable_share: float = setting(
        1.0,
        "stop_when_stable: share of the stochastic blocks that must not have changed",
        minimum=0.01,
        maximum=1.0,
    )
    target_latency: float = setting(
        0.0,
        "expected latency above this share of the interleaved network's of the same depth costs;"
        " needs --latency_table; 0: no target",
        minimum=0.0,
        maximum=10.0,
    )
    latency_weight: float = setting(
        0.3, "nats a token that a latency of twice the target costs", minimum=0.0, maximum=1e3
    )
    latency_of: str = setting(
        "inference",
        "which latency counts: of a window, of an update, or of one token at a time with memory",
        choices=("inference", "training_step", "decoding"),
    )
    latency_ms: tuple[float, ...] = setting(
        (),
        "milliseconds of an attention, a dense and an identity block and of everything else;"
        " --latency_table fills them in",
        minimum=0.0,
        maximum=1e9,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.arch_fraction < 1:
            raise SettingError(
                f"arch_fraction must lie between 0 and 1, but is {self.arch_fraction}",
                "arch_fraction",
            )
        if self.latency_ms and (len(self.latency_ms) != 4 or not self.latency_ms[-1] > 0):
            said = (
                "latency_ms must be four numbers, attention, dense, identity, the rest (above 0),"
                f" but are {list(self.latency_ms)}"
            )
            raise SettingError(said, "latency_ms")
        if self.target_latency and not self.latency_ms:
            said = (
                f"target_latency {self.target_latency} needs --latency_table=FILE, which"
                " tools/measure_latency.py makes"
            )
            raise SettingError(said, "target_latency")


@dataclasses.dataclass(frozen=True)
class TrainingConfig(Group):
    """How the weights are learnt."""

    epochs: int = setting(
        5,
        "passes over the train split; learning rate and tau hang on it",
        minimum=1,
        maximum=1_000_000,
    )
    max_lr: float = setting(1e-3, "peak learning rate of the weights", minimum=0.0, maximum=10.0)
    warmup_steps: int = setting(
        100, "steps of linear warm-up before the cosine decay to zero", minimum=0, maximum=1 << 30
    )
    optimizer: str = setting(
        "adam", "adamw adds decoupled weight decay", choices=("adam", "adamw")
    )
    weight_decay: float = setting(
        0.0, "decay of adamw; biases and norms are exempt", minimum=0.0, maximum=10.0
    )
    clip_norm: float = setting(
        0.5, "largest global gradient norm of the weights; 0 means no clipping", minimum=0.0
    )
    gradient_checkpointing: bool = setting(
        False,
        "compute each block again in the backward pass: less memory, more time, last digits apart",
    )
    seed: int = setting(
        0, "seed of initial weights, Gumbel noise and dropout", minimum=0, maximum=2**31 - 1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weight_decay and self.optimizer != "adamw":
            said = (
                f"weight_decay needs --optimizer=adamw, but optimizer is {self.optimizer} and"
                f" weight_decay {self.weight_decay}"
            )
            raise SettingError(said, "weight_decay", "optimizer")


@dataclasses.dataclass(frozen=True)
class LoggingConfig(Group):
    """What is written how often. May change when a run is continued."""

    log_every: int = setting(100, "steps between lines of training_log.log", minimum=1)
    record_every: int = setting(
        0,
        "steps between rows of history.jsonl, each a frame of the GIF; 0 means a hundredth of"
        " the run",
        minimum=0,
    )
    save_every: int = setting(
        500, "steps between checkpoints; one is also saved at the end of every epoch", minimum=1
    )
    save_every_seconds: float = setting(
        600.0,
        "one is also saved when the last is so many seconds old; 0: none for that reason",
        minimum=0.0,
    )
    sample_length: int = setting(
        60,
        "tokens of a text by the network, for samples/ and TensorBoard; 0: no texts",
        minimum=0,
        maximum=10_000,
    )
    sample_every: int = setting(
        0,
        "epochs between such texts; 0: one at the end of the run, as the first takes seconds to"
        " prepare",
        minimum=0,
    )
    keep: int = setting(2, "newest checkpoints kept, beside the best", minimum=1, maximum=1000)


@dataclasses.dataclass(frozen=True)
class SamplingConfig(Group):
    """How a text is drawn from a network (tools/generate.py)."""

    length: int = setting(100, "tokens to write after the prompt", minimum=1)
    temperature: float = setting(
        1.0,
        "log-probabilities are divided by it: below 1 likely tokens become likelier; 0: the"
        " likeliest",
        minimum=0.0,
    )
    top_k: int = setting(0, "draw among the k likeliest tokens only; 0: among all", minimum=0)
    top_p: float = setting(
        1.0,
        "draw among the likeliest tokens that together have this probability (nucleus sampling)",
        minimum=0.0,
        maximum=1.0,
    )
    num_samples: int = setting(1, "texts to write for the same prompt", minimum=1, maximum=1024)
    seed: int = setting(
        0,
        "seed of what is drawn; sample n is the same however many there are",
        minimum=0,
        maximum=2**31 - 1,
    )


GROUPS = (DataConfig, ModelConfig, SearchConfig, TrainingConfig, LoggingConfig)
