"""The model card of an exported network: a README in Markdown, written from the run, with Python that runs as it stands."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from par import corpora, latency, runs
from par.architecture import KINDS, NAMES, Architecture
from par.architecture import load as load_architecture
from par.manifest import Manifest
from par.runs import RunConfig
from par.tokenizer import SPECIAL_PIECES

UNKNOWN_LICENCE = "own text: its licence is yours to state"
CALLS = """import tensorflow as tf
import tensorflow_text  # the operations of the tokenizer
model = tf.saved_model.load("{name}")

score = model.signatures["score"]
scores = score(texts=tf.constant(["The first text.\\nIts second line.", "Another text."]))
print(scores["perplexity_per_word"].numpy(), scores["nll"].numpy(), scores["tokens"].numpy(), scores["words"].numpy())

step = model.signatures["step"]
memories = {{"hidden": tf.zeros({hidden}), "valid": tf.zeros([1], tf.int32)}}
after = step(tokens=tf.constant([{eos}]), **memories)  # after["log_prob"] [1, {vocab_size}]; hidden and valid go to the next call

generate = model.generate  # with defaults; model.signatures["generate"] wants every setting
texts = generate(tf.constant(["The"]), length=tf.constant(20), temperature=tf.constant(0.8), seed=tf.constant(1))["texts"]
print(texts[0].numpy().decode())"""


@dataclasses.dataclass(frozen=True)
class Origin:
    """The search that a network came from: its pi [L, O] and, where it had a table of latencies, what it predicts; empty where it is not known."""

    pi: Sequence[Sequence[float]] = ()
    rule: str = ""
    latency: str = ""


def origin(run_dir: Path, config: RunConfig, pi: Sequence[Sequence[float]]) -> Origin:
    """Where a run's blocks came from. pi: its own, of a SuperNet. A search is looked for beside the run.

    Raises: DataError if there is a search, but it is damaged.
    """
    architecture = config.architecture
    if architecture.is_search:
        return Origin(pi, "argmax", "")
    parents = list(Path(run_dir).resolve().parents)[:2] if architecture.search_run else []
    for search in (parent / architecture.search_run for parent in parents):
        if (search / "architecture.json").is_file() and (search / "config.json").is_file():
            derived, of_search = load_architecture(search / "architecture.json"), runs.load(search)[0].search
            costs = latency.costs_of(of_search.latency_ms)
            line = costs.line(architecture.blocks, of_search.latency_of) if costs else ""
            return Origin(derived.pi if derived.blocks == architecture.blocks else (), derived.rule, line)
    return Origin()


def text(
    name: str,
    config: RunConfig,
    manifest: Manifest,
    origin: Origin,
    checkpoint: str,
    step: int,
    evaluated_as: str,
    scores: dict[str, dict[str, float]],
    mismatches: dict[str, tuple[int, int]],
    hidden: Sequence[int],
) -> str:
    """The card. name: the export's directory. scores: par.metrics' figures by split. mismatches: by split, lines whose ids differ, and all lines.
    hidden: shape of the memories of one row."""
    blocks, model = config.architecture.blocks, config.model
    kinds = ", ".join(f"{count} {NAMES[kind]}" for kind in NAMES if (count := blocks.count(kind)))
    settings = manifest.settings
    lines = [
        f"# {name}",
        "",
        f"A language model: a PAR Transformer-XL of {len(blocks)} blocks, as a TensorFlow SavedModel with its tokenizer inside.",
        "It needs `tensorflow` and `tensorflow-text`, nothing else.",
        "",
        "## Use",
        "",
        "From the directory that holds this one:",
        "",
        "```python",
        CALLS.format(name=name, hidden=list(hidden), eos=SPECIAL_PIECES.index("[EOS]"), vocab_size=config.data.vocab_size),
        "```",
        "",
        "- `score`: strings in; per string `nll` (nats, summed), `tokens`, `words` and `perplexity_per_word` = exp(nll / words) out. A text is read as a",
        f"  file: every line, the last, too, ends with [EOS] and counts as one word more. Windows of {config.data.seq_len} tokens, memory {model.mem_len}, every token scored, the first",
        "  after an [EOS]. An empty string has no words: its perplexity is NaN.",
        "- `step`: after one token of each row, log-probabilities (nats) of the next one, and the memories. A text begins with [EOS] and zero memories.",
        f"- `generate`: each prompt with `length` tokens more, deterministic for a `seed`; every token sees {hidden[2]} back. Settings: `length`, `temperature`",
        "  (0: always the likeliest), `top_k` (0: all), `top_p`, `seed`.",
        "",
        "## Network",
        "",
        f"- blocks: `{blocks}` ({kinds})"
        + (f", used as their {'mixture' if evaluated_as == 'soft' else 'likeliest kinds'}" if config.architecture.is_search else ""),
        f"- width {model.d_model}, {model.num_heads} heads, dense width {model.d_ffn}, norm {model.norm}, {config.data.vocab_size:,} ids, "
        f"cutoffs {', '.join(map(str, model.cutoffs)) or 'none'}, precision {model.precision}",
        f"- trained {step:,} of {config.total_steps:,} steps ({checkpoint} checkpoint), recipe {config.recipe}, seed {config.training.seed}",
        f"- latency: {origin.latency or 'not known'}",
        "",
        *_origin_lines(config.architecture, origin),
        "## Data",
        "",
        f"- corpus: {manifest.corpus.name}{f' ({manifest.corpus.note})' if manifest.corpus.note else ''}, SHA-256 {manifest.corpus.sha256}",
        *(f"- {split}: {info.tokens:,} tokens, {info.words:,} words with line ends, {info.bytes:,} bytes" for split, info in manifest.splits.items()),
        f"- {'lower-cased (nfkc_cf)' if manifest.lowercase else 'not lower-cased'}",
        f"- licence: {corpora.LICENCES.get(settings.get('corpus') or '', UNKNOWN_LICENCE)}",
        "",
        "## Tokenizer",
        "",
        f"SentencePiece, {settings['model_type']}, {manifest.vocab_size:,} ids, SHA-256 {manifest.tokenizer_sha256}. "
        + (
            "A word that train does not have is [UNK]."
            if settings["model_type"] == "word"
            else "Characters without a piece are bytes: any text can be encoded."
        ),
        "The tokenizer inside was compared with SentencePiece, line by line: "
        + ", ".join(f"{split} {bad} of {total:,} lines with other ids" for split, (bad, total) in mismatches.items())
        + ".",
        "",
        "## Scores",
        "",
        "| split | perplexity per token | perplexity per word | bits per character | bits per byte |",
        "|---|---|---|---|---|",
        *(
            f"| {split} | {found['perplexity_per_token']:.2f} | {found['perplexity_per_word']:.2f} | {found['bits_per_character']:.4f} "
            f"| {found['bits_per_byte']:.4f} |"
            for split, found in scores.items()
        ),
        "",
        f"Measured when it was exported, with {manifest.batch_size} rows and windows of {manifest.seq_len} tokens, as tools/evaluate.py does by default. "
        "`score` reads a text in one row.",
        "",
        "## Limits",
        "",
        f"It goes on with text of the kind that it was trained on ({manifest.splits['train'].tokens:,} tokens), and knows nothing else; it was not trained to follow instructions,",
        "and what it writes may be wrong, or be a passage of its training text. Perplexities per word compare on the same text only.",
    ]
    return "\n".join(lines) + "\n"


def _origin_lines(architecture: Architecture, origin: Origin) -> list[str]:
    """The table of pi, or nothing."""
    if not len(origin.pi):
        return [f"- derived from the search `{architecture.search_run}`, whose pi is not beside this run", ""] if architecture.search_run else []
    title = f"pi of the search `{architecture.search_run}`, by the rule {origin.rule}" if architecture.search_run else "pi of this search"
    head = ["block", *(NAMES[kind] for kind in KINDS)]
    rows = [[str(number), *(f"{p:.3f}" for p in row)] for number, row in enumerate(origin.pi, 1)]
    table = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
    return [f"{title}:", "", *table, ""]
