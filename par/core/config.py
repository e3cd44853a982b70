"""Every setting, written once: its name, default, reason and check.

Four groups make a run: `DataConfig` (what build_data makes), `ModelConfig` (the network),
`SearchConfig` (how the block kinds are learnt) and `TrainingConfig` (how the weights are learnt).
`LoggingConfig` holds what may change when a run is continued, `SamplingConfig` how text is drawn.
The file is long because it is the one table of all settings.
"""

from __future__ import annotations

import dataclasses

from par.core.errors import SettingError, UsageError
from par.core.setting_group import NONE, Group, duration, setting
from par.core.setting_group import fields as fields
from par.core.setting_group import in_steps as in_steps

MAX_VOCAB_SIZE = 4_000_000
TEXTS = ("corpus", "input_text", "input_documents")  # where text comes from: one of them


@dataclasses.dataclass(frozen=True)
class DataConfig(Group):
    """How text becomes records (tools/build_data.py)."""

    corpus: str = setting(
        "",
        "a named corpus: python-docs (embedded); debian-changelogs (of this machine); wikitext-2,"
        " wikitext-2-small, wikitext-103 (downloaded, or placed in data/)",
    )
    input_text: str = setting(
        "",
        "own text: a file, a directory, or a glob; a directory with train.txt, valid.txt and"
        " test.txt is taken as it is",
        is_path=True,
    )
    input_documents: str = setting(
        "",
        "own documents, with authors, groups and threads: FILE.jsonl[.gz] or FILE.mbox, a glob, or"
        " a directory; one with train.jsonl, valid.jsonl and test.jsonl is taken as it is",
        is_path=True,
    )
    fields: str = setting(
        "",
        "keys of a line of JSON that are not called id, text, author, group or parent:"
        " text:body,group:subreddit,parent:parent_id; a.b is key b of the object a",
    )
    split_by: str = setting(
        "group",
        "what stays together in one of the three splits, which a hash of it chooses: group, author"
        " or thread; a document that has none goes with its thread",
        choices=("group", "author", "thread"),
    )
    split_fractions: tuple[float, ...] = setting(
        (0.9, 0.05, 0.05),
        "fractions of train, valid and test, of documents the chances of each group, author or"
        " thread, if the input has no splits",
        minimum=0.0,
        maximum=1.0,
    )
    vocab_size: int = setting(
        0,
        "vocabulary size V including special and byte pieces; 0: 4,000, or for a word or char"
        " model all words or characters of the text",
        minimum=0,
        maximum=MAX_VOCAB_SIZE,
    )
    model_type: str = setting(
        "unigram", "SentencePiece model", choices=("unigram", "bpe", "word", "char")
    )
    lowercase: bool = setting(
        False,
        "lower-case by NFKC case folding; perplexities then refer to the lower-cased text",
    )
    symbols: tuple[str, ...] = setting(
        (), "a symbol of the text that stays one piece, such as <unk>; named corpora define theirs"
    )
    batch_size: int = setting(32, "parallel text streams B", minimum=1, maximum=1 << 20)
    seq_len: int = setting(32, "window length T in tokens", minimum=1, maximum=1 << 20)
    shards: int = setting(1, "record files per split", minimum=1, maximum=99_999)
    tokenizer_model: str = setting(
        "",
        "an existing SentencePiece model, used instead of training one; its model type, vocabulary"
        " size, case and symbols apply",
        is_path=True,
    )
    tokenizer_sample_lines: int = setting(
        0,
        "about how many lines, drawn evenly, a unigram or BPE model is trained on; 0: all lines,"
        " up to 32 MiB of text",
        minimum=0,
        maximum=1 << 40,
    )
    tokenizer_threads: int = setting(
        2,
        "threads of SentencePiece's trainer; the model depends on their number",
        minimum=1,
        maximum=1024,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        texts = {name: getattr(self, name) for name in TEXTS}
        if sum(map(bool, texts.values())) != 1:
            given = ", ".join(f"--{name} {value!r}" for name, value in texts.items())
            raise UsageError(
                f"give either --corpus or --input_text or --input_documents, but they are {given}"
            )
        if self.fields and not self.input_documents:
            raise SettingError("fields is for --input_documents", "fields")
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
        "memory length M in tokens: how far attention reaches back into earlier windows",
        minimum=0,
        maximum=1 << 20,
    )
    dropout_rate: float = setting(
        0.1,
        "dropout rate after the embedding and after each block",
        minimum=0.0,
        maximum=0.99,
    )
    norm: str = setting(
        "pre",
        "pre: one norm before a block, shared by its branches; post: one norm after each branch",
        choices=("pre", "post"),
    )
    cutoffs: tuple[int, ...] = setting(
        (),
        "adaptive softmax: first id of each tail cluster; none: plain softmax; auto: the cutoffs"
        " that are fastest for the data's token counts, by timings on this machine",
        minimum=1,
        words=("auto", NONE),
    )
    proj_factor: float = setting(
        4.0,
        "adaptive softmax: tail cluster i is projected to width D / proj_factor^i",
        minimum=1.0,
        maximum=1024.0,
    )
    proj_dims: tuple[int, ...] = setting(
        (),
        "adaptive softmax: width of each tail cluster, instead of proj_factor",
        minimum=1,
        maximum=1 << 16,
    )
    downsample: int = setting(
        1,
        "of characters (build_data --model_type=char): blocks read so many as one position, and"
        " each gets a state of its own behind them; 1: every one by itself; for objectives that"
        " see both sides",
        minimum=1,
        maximum=64,
        is_later=True,
    )
    tie_embeddings: bool = setting(
        False,
        "the softmax shares the embedding's weights, in the tail clusters through a projection",
    )
    precision: str = setting(
        "f32",
        "precision of the factors of matrix products; bf16: bfloat16, while sums, norms and"
        " weights stay float32",
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

    def positions(self, tokens: int) -> int:
        """How many positions of a block so many tokens are."""
        return -(-tokens // self.downsample)

    def check_vocabulary(self, vocab_size: int, remedy: str = "") -> None:
        """Checks a vocabulary size, and that every cutoff lies inside the vocabulary. Raises:
        UsageError, which ends with the `remedy` that a command has for the cutoffs."""
        if type(vocab_size) is not int or not 1 <= vocab_size <= MAX_VOCAB_SIZE:
            raise SettingError(
                f"vocab_size must be an integer from 1 to {MAX_VOCAB_SIZE}, but is {vocab_size!r}",
                "vocab_size",
            )
        if self.cutoffs and self.cutoffs[-1] >= vocab_size:
            raise SettingError(
                f"cutoffs must lie below the vocabulary size {vocab_size}, but are"
                f" {list(self.cutoffs)}{remedy}",
                "cutoffs",
            )


@dataclasses.dataclass(frozen=True)
class SearchConfig(Group):
    """How the kinds of stochastic blocks are learnt; no effect on a network without them."""

    sampling: str = setting(
        "soft",
        "soft: a mixture of all block kinds; straight_through: one kind in the forward pass, all"
        " in the backward pass; single_path: only one kind is computed",
        choices=("soft", "straight_through", "single_path"),
    )
    paths: int = setting(
        2,
        "single_path: paths sampled per step; their losses update the logits, and that of the"
        " first also the weights; 1: the logits' gradient comes through the path's weight (GDAS)",
        minimum=1,
        maximum=64,
    )
    prune_below: float = setting(
        0.0,
        "remove a kind from a block once its probability has stayed below this value; 0: never",
        minimum=0.0,
        maximum=0.33,
    )
    prune_patience: int = setting(
        100,
        "steps for which it must have stayed below prune_below",
        minimum=1,
        maximum=1 << 30,
    )
    tau_start: float = setting(
        1.0, "Gumbel-Softmax temperature tau at the first step", minimum=1e-3, maximum=1e3
    )
    tau_end: float = setting(0.1, "temperature tau at the last step", minimum=1e-3, maximum=1e3)
    tau_schedule: str = setting(
        "exponential",
        "shape of the annealing from tau_start to tau_end",
        choices=("exponential", "linear", "cosine"),
    )
    tau_warmup: float = duration(
        0,
        "keep tau at tau_start for the first N steps, or below 1 for this share of the run's"
        " steps",
    )
    arch_lr: float = setting(
        1e-2, "learning rate of the architecture logits", minimum=0.0, maximum=10.0
    )
    arch_schedule: str = setting(
        "constant",
        "schedule of arch_lr; cosine: warm-up and decay as for the weights; rising: linear from 0"
        " when the logits begin to learn; tau: falls as tau does",
        choices=("constant", "cosine", "rising", "tau"),
    )
    arch_weight_decay: float = setting(
        0.0, "decoupled weight decay of the architecture logits", minimum=0.0, maximum=10.0
    )
    arch_warmup: float = duration(
        0,
        "freeze the architecture logits for the first N steps, or below 1 for this share of the"
        " run's steps",
    )
    warmup_sampling: str = setting(
        "same",
        "how kinds are sampled during arch_warmup; same: as by --sampling; single_path: only one"
        " kind of a block is computed, each equally often",
        choices=("same", "single_path"),
    )
    arch_alone: float = duration(
        0,
        "freeze the weights for the last N steps, or below 1 for this share of the run's steps, so"
        " that only the architecture logits learn",
    )
    entropy_weight: float = setting(
        0.0,
        "initial weight of the entropy bonus (nats of pi, summed over the blocks) in the logits'"
        " loss; decays linearly to 0",
        minimum=0.0,
        maximum=1e3,
    )
    bilevel: bool = setting(
        False,
        "update the logits on held-out steps only, which never update the weights; otherwise every"
        " step updates both",
    )
    arch_fraction: float = setting(
        0.2,
        "bilevel: fraction of an epoch's steps that is held out, the same steps in every epoch",
        minimum=0.0,
        maximum=1.0,
    )
    stop_when_stable: int = setting(
        0,
        "stop early when the likeliest kind has not changed for N epochs in the fraction"
        " stable_share of the blocks; 0: never",
        minimum=0,
        maximum=1_000_000,
    )
    stable_share: float = setting(
        1.0,
        "stop_when_stable: fraction of the stochastic blocks that must not have changed",
        minimum=0.01,
        maximum=1.0,
    )
    target_latency: float = setting(
        0.0,
        "target of the expected latency, as a fraction of that of the interleaved network of the"
        " same depth; needs --latency_table; 0: no target",
        minimum=0.0,
        maximum=10.0,
    )
    latency_weight: float = setting(
        0.3,
        "penalty of a latency of twice the target (nats per token)",
        minimum=0.0,
        maximum=1e3,
    )
    latency_of: str = setting(
        "inference",
        "which latency is penalised: of a window, of a training step, or of decoding one token",
        choices=("inference", "training_step", "decoding"),
    )
    latency_ms: tuple[float, ...] = setting(
        (),
        "milliseconds of an attention, a dense and an identity block, and of everything else;"
        " set from --latency_table",
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
        "passes over the train split; the schedules of learning rate and tau depend on it",
        minimum=1,
        maximum=1_000_000,
    )
    max_lr: float = setting(1e-3, "peak learning rate of the weights", minimum=0.0, maximum=10.0)
    warmup_steps: float = duration(
        100,
        "steps of linear warm-up before the cosine decay to zero, or below 1 the share of the"
        " run's steps",
    )
    optimizer: str = setting(
        "adam",
        "optimizer of the weights; adamw: adam with decoupled weight decay",
        choices=("adam", "adamw"),
    )
    weight_decay: float = setting(
        0.0, "weight decay of adamw; not applied to biases and norms", minimum=0.0, maximum=10.0
    )
    clip_norm: float = setting(
        0.5,
        "clip the global norm of the weights' gradient to this value; 0: no clipping",
        minimum=0.0,
    )
    gradient_checkpointing: bool = setting(
        False,
        "recompute each block in the backward pass: less memory, more time; results agree up to"
        " rounding",
    )
    seed: int = setting(
        0, "seed of the initial weights, Gumbel noise and dropout", minimum=0, maximum=2**31 - 1
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
    """What is logged and saved how often; may change when a run is continued."""

    log_every: int = setting(100, "steps between two lines of training_log.log", minimum=1)
    record_every: int = setting(
        0,
        "steps between two rows of history.jsonl, each a frame of the GIF; 0: a hundredth of the"
        " run",
        minimum=0,
    )
    save_every: int = setting(
        500,
        "steps between two checkpoints; one is also saved at the end of every epoch",
        minimum=1,
    )
    save_every_seconds: float = setting(
        600.0,
        "also save a checkpoint when the last one is this many seconds old; 0: never",
        minimum=0.0,
    )
    sample_length: int = setting(
        60,
        "length in tokens of the sample texts for samples/ and TensorBoard; 0: no samples",
        minimum=0,
        maximum=10_000,
    )
    sample_every: int = setting(
        0,
        "epochs between two sample texts; 0: only one at the end of the run, as preparing the"
        " first takes seconds",
        minimum=0,
    )
    keep: int = setting(
        2, "number of newest checkpoints to keep, besides the best", minimum=1, maximum=1000
    )


@dataclasses.dataclass(frozen=True)
class SamplingConfig(Group):
    """How text is sampled from a network (tools/generate.py)."""

    length: int = setting(100, "number of tokens to generate after the prompt", minimum=1)
    temperature: float = setting(
        1.0,
        "divides the log-probabilities: values below 1 favour likely tokens; 0: always the"
        " likeliest token",
        minimum=0.0,
    )
    top_k: int = setting(0, "sample from the k likeliest tokens only; 0: from all", minimum=0)
    top_p: float = setting(
        1.0,
        "sample from the likeliest tokens that together have this probability (nucleus sampling)",
        minimum=0.0,
        maximum=1.0,
    )
    num_samples: int = setting(
        1, "number of texts to generate for the prompt", minimum=1, maximum=1024
    )
    seed: int = setting(
        0,
        "seed of the sampling; text n does not depend on num_samples",
        minimum=0,
        maximum=2**31 - 1,
    )


@dataclasses.dataclass(frozen=True)
class FillConfig(Group):
    """What is told of each [MASK] of a text (tools/fill.py)."""

    k: int = setting(
        5,
        "how many pieces to give for each [MASK], the most probable first; of a smaller vocabulary"
        " all",
        minimum=1,
        maximum=1 << 20,
    )


GROUPS = (DataConfig, ModelConfig, SearchConfig, TrainingConfig, LoggingConfig)
