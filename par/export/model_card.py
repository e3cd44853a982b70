"""The model card of an exported network: a README in Markdown, written from the run, with Python
that runs as it stands."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from par.core import metrics
from par.data import named_corpora
from par.data.manifest import Manifest
from par.data.tokenizer import EOS
from par.search.architecture import KINDS, NAMES, Architecture, interleaved
from par.search.architecture import load as load_architecture
from par.train.run_config import RunConfig

UNKNOWN_LICENCE = "own text: its licence is yours to state"
CARD = """# {name}

A language model, a PAR Transformer-XL of {num_blocks} blocks, as a TensorFlow SavedModel with its tokenizer inside. It needs `tensorflow` and
`tensorflow-text`, nothing else.

## Use

From the directory that holds this one:

```python
import tensorflow as tf
import tensorflow_text  # the operations of the tokenizer
model = tf.saved_model.load("{name}")

score = model.signatures["score"]
scores = score(texts=tf.constant(["The first text.\\nIts second line.", "Another text."]))
print(scores["perplexity_per_word"].numpy(), scores["nll"].numpy(), scores["tokens"].numpy(), scores["words"].numpy())

step = model.signatures["step"]
memories = {{"hidden": tf.zeros({memory_shape}), "valid": tf.zeros([1], tf.int32)}}
after = step(tokens=tf.constant([{eos}]), **memories)  # log_prob [1, {vocab_size}]; hidden and valid are the next step's

generate = model.generate  # with defaults; model.signatures["generate"] wants every setting
texts = generate(tf.constant(["The"]), length=tf.constant(20), temperature=tf.constant(0.8), seed=tf.constant(1))["texts"]
print(texts[0].numpy().decode())
```

- `score`: strings in; of each its `nll` (nats, summed), `tokens`, `words` and `perplexity_per_word` = exp(nll / words) out. A text is read as a file:
  every line, the last, too, ends with [EOS] and counts as one word more. Every token is scored, the first after an [EOS], in windows of {seq_len}
  tokens with a memory of {mem_len}. An empty string has no words: its perplexity is NaN.
- `step`: tokens and memories in; log-probabilities (nats) of each row's next token, and the memories out. A text begins with [EOS] and zeros.
- `generate`: each prompt with `length` tokens more, the same for the same `seed`. Every token sees {back} back. Settings: `length`, `temperature`
  (0: always the likeliest), `top_k` (0: all), `top_p`, `seed`.

## Network

- blocks: `{blocks}` ({kinds})
- width {d_model}, {num_heads} heads, dense width {d_ffn}, norm {norm}, cutoffs {cutoffs}, products in {precision}
- trained {step:,} of {total_steps:,} steps ({checkpoint} checkpoint), recipe {recipe}, seed {seed}

{latency}

{pi}

## Data

- corpus: {corpus}, SHA-256 {corpus_sha256}
{splits}
- {case}
- licence: {licence}

## Tokenizer

SentencePiece, {model_type}, {vocab_size:,} ids, SHA-256 {tokenizer_sha256}. {unknown}
The tokenizer inside was compared with SentencePiece, line by line: {mismatches}.

## Scores

| split | perplexity per token | perplexity per word | bits per character | bits per byte |
|---|---|---|---|---|
{scores}

Measured when this was exported, in {batch_size} rows and windows of {seq_len} tokens, as tools/evaluate.py does by default.
`score` reads a text in one row.

## Limits

It goes on with text of the kind that it was trained on, {train_tokens:,} tokens, and knows nothing else. It was not trained to follow
instructions, and what it writes may be wrong, or a passage of its training text. Perplexities per word compare on the same text only.
"""


def derived(run_dir: Path, architecture: Architecture) -> Architecture | None:
    """What the search that a run's blocks came from has in its architecture.json, if it lies
    beside the run and says these blocks.

    Raises: DataError if it is damaged.
    """
    # two: a run may be one of several seeds
    for parent in list(Path(run_dir).resolve().parents)[:2] if architecture.search_run else ():
        if (path := parent / architecture.search_run / "architecture.json").is_file():
            found = load_architecture(path)
            return found if found.blocks == architecture.blocks else None
    return None


@dataclasses.dataclass(frozen=True)
class Measured:
    """What an export tells of itself."""

    checkpoint: str
    step: int
    evaluated_as: str  # soft or argmax, of a SuperNet
    scores: dict[str, dict[str, float]]  # by split, par.core.metrics.figures
    # by split, lines that the tokenizer inside gives other ids, and all lines
    mismatches: dict[str, tuple[int, int]]
    pi: Sequence[Sequence[float]]  # [L, O] of the network itself: one-hot where a block is fixed
    memory_shape: Sequence[int]  # [A, 1, M, D] of one row


def text(
    name: str,
    config: RunConfig,
    manifest: Manifest,
    origin: Architecture | None,
    measured: Measured,
) -> str:
    """The card. name: that of the export's directory. origin: see `derived`."""
    architecture, model = config.architecture, config.model
    kinds = ", ".join(
        f"{count} {NAMES[kind]}" for kind in NAMES if (count := architecture.blocks.count(kind))
    )
    used = (
        f"; used as their {'mixture' if measured.evaluated_as == 'soft' else 'likeliest kinds'}"
        if architecture.is_search
        else ""
    )
    is_word = manifest.settings["model_type"] == "word"
    figures = [
        [f"{found[name]:.{4 if name.startswith('bits') else 2}f}" for name in metrics.COMPARED]
        for found in measured.scores.values()
    ]
    return CARD.format(
        **model.to_json() | {"cutoffs": ", ".join(map(str, model.cutoffs)) or "none"},
        name=name,
        num_blocks=len(architecture),
        memory_shape=list(measured.memory_shape),
        back=measured.memory_shape[2],
        eos=EOS,
        vocab_size=manifest.vocab_size,
        seq_len=config.data.seq_len,
        batch_size=config.data.batch_size,
        blocks=architecture.blocks,
        kinds=kinds + used,
        step=measured.step,
        total_steps=config.total_steps,
        checkpoint=measured.checkpoint,
        recipe=config.recipe,
        seed=config.training.seed,
        latency="\n".join(_latency(origin)),
        pi="\n".join(_pi(architecture, origin, measured.pi)),
        corpus=" ".join(
            [manifest.corpus.name, f"({manifest.corpus.note})" if manifest.corpus.note else ""]
        ).strip(),
        corpus_sha256=manifest.corpus.sha256,
        splits="\n".join(
            f"- {split}: {info.tokens:,} tokens, {info.words:,} words with line ends,"
            f" {info.bytes:,} bytes"
            for split, info in manifest.splits.items()
        ),
        case="lower-cased (nfkc_cf)" if manifest.lowercase else "not lower-cased",
        licence=named_corpora.LICENCES.get(manifest.settings["corpus"], UNKNOWN_LICENCE),
        model_type=manifest.settings["model_type"],
        tokenizer_sha256=manifest.tokenizer_sha256,
        unknown=(
            "A word that train does not have is [UNK]."
            if is_word
            else "A character without a piece becomes bytes: any text can be encoded."
        ),
        mismatches=", ".join(
            f"{bad} of {total:,} lines of {split} have other ids"
            for split, (bad, total) in measured.mismatches.items()
        ),
        scores="\n".join(
            f"| {split} | {' | '.join(row)} |" for split, row in zip(measured.scores, figures)
        ),
        train_tokens=manifest.splits["train"].tokens,
    )


def _latency(origin: Architecture | None) -> list[str]:
    """What the network should take and takes, where the search's architecture.json tells."""
    if origin is None or origin.latency is None:
        return ["Its latency is not known: it was derived without a table of latencies."]
    lines = origin.latency.lines(origin.short, Architecture(interleaved(len(origin))).short)
    return ["Latency, on the device where it was derived:", "", *(f"    {line}" for line in lines)]


def _pi(
    architecture: Architecture, origin: Architecture | None, own: Sequence[Sequence[float]]
) -> list[str]:
    """The table of pi, or why there is none."""
    if architecture.is_search:
        title, pi = "The pi of this search:", own
    elif origin is not None and origin.pi:
        title, pi = (
            (
                f"The pi of the search `{architecture.search_run}`, from which the blocks were"
                f" taken by the rule {origin.rule}:"
            ),
            origin.pi,
        )
    else:
        return [
            (
                f"The pi of the search `{architecture.search_run}` is not beside the run."
                if architecture.search_run
                else "The blocks were given."
            )
        ]
    head = ["block", *(NAMES[kind] for kind in KINDS)]
    rows = [[str(number), *(f"{p:.3f}" for p in row)] for number, row in enumerate(pi, 1)]
    return [title, "", *(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))]
