"""Objectives, one per module, with one contract; a further one is a module and an entry here.

What an objective says of itself is a `Contract`. Its network is made by
`network_class()(model, vocab_size, seed, settings)` and has

element_spec(batch_size, seq_len)     what the data yields, one tensor or several by name: [B,
                                      T+1] int32 for a stream
documents(data_dir, manifest, split)  where it reads documents: the DocumentReader of a split,
                                      which yields the elements
prepare(element, seed, training)      -> batch, the input of `loss`; pure; seed: [B, 2] integers,
                                      one for each row (`Phase.row_seeds`)
read_data(data_dir)                   called before training, never for an evaluation: what else it
                                      must know of the data that it trains on
build(make_trunk)                     makes the layers. make_trunk(part="trunk", blocks=None,
                                      table=None, on_base=True, **changes) makes a trunk: on the
                                      run's base, if it has one and on_base is true; of the run's
                                      architecture or of other blocks, with a table that another
                                      one shares, with ModelConfig settings of its own
token_scores(batch, memories, phase)  -> {name: (value [B, T], weight [B, T])}, memories: `nll`
                                      (nats; of a text as a whole [B, 1]), each of the
                                      contract's parts and token_values; where it generates and
                                      phase.scores_hits, `accuracy`
loss(batch, memories, phase)          -> total (nats), weight (targets), {part: (sum, weight)} of
                                      the contract's training_parts, memories; total / weight is
                                      minimised
pseudo_scores(tokens, memories, phase)
                                      where it fills: (nll [T], weight [T]) of each token of a
                                      window [T] that alone is masked, memories
encode(window, phase)                 where it encodes: [B, D], of length 1, of texts as window
                                      gives them
halves(contexts)                      where it has them (Contract.halves): {kind: [B, W]} of texts
                                      [B, N, doc_len]
of_every_kind(tokens)                 likewise: these contexts, of texts [B, doc_len], padded
window(tokens)                        where it encodes: texts [B, doc_len] as the trunk reads them
log_prob(tokens, memories, phase)     where it generates: [B, V] of the next token (nats), memories
log_prob_at(places, tokens, real,     where it fills: [B, K, V] of the pieces at places [B, K] of
            memories, phase)          the window (nats), memories
replaced_logits(tokens, real,         where it detects: [B, T] logits that tokens were replaced,
                memories, phase)      memories
layers, trunk                         the layers that are trained and saved; the trunk of the run's
                                      architecture
exported_layers                       where they are fewer: those that an export needs
"""

import dataclasses
from collections import ChainMap

from par.core import metrics
from par.objectives import author_pools, pools
from par.objectives.composed_contract import COMPOSED
from par.objectives.context_settings import (
    OF_LAYERS,
    ContextSettings,
    ThreadSettings,
    check_context_mlm,
    layers_from,
)
from par.objectives.contract import Contract
from par.objectives.electra_figures import SPAN_ELECTRA
from par.objectives.settings import (
    AuthorsSettings,
    MaskedLMSettings,
    check_authors,
    check_characters,
    check_masked_lm,
)
from par.objectives.tower_settings import CLASSIFY, DISTILL

DEFAULT = "causal_lm"
MASKED_CHARTS = {
    "Accuracy": {"of masked tokens": "accuracy"},
    "Loss": {"nats per masked token": "nll_per_token"},
}
CONTEXT_MLM = Contract(
    name="context_mlm",
    network="par.objectives.contexts.context_mlm:ContextLanguageModel",
    visibility="bidirectional",
    generates=False,
    instead="use embed or probe, or a run of masked_lm to fill",
    figures=(metrics.NLL_PER_MASKED_TOKEN, metrics.MASKED_ACCURACY),
    compared=("nll_per_token", "accuracy"),
    tracked="nll_per_token",
    charts=MASKED_CHARTS,
    carries_memory=False,
    reads="documents",
    read_shape=ContextSettings.read_shape,
    parts=("accuracy",),
    draws=2,
    predicted=ContextSettings.predicted,
    helpers=ContextSettings.helpers,
    halves=ContextSettings.halves,
    settings=ContextSettings,
    check=check_context_mlm,
    check_data=pools.check_contexts,
    layers_from=layers_from,
    of_layers=OF_LAYERS,
)

OBJECTIVES = {
    contract.name: contract
    for contract in (
        Contract(
            name="causal_lm",
            network="par.objectives.causal_lm:CausalLanguageModel",
            visibility="causal",
            generates=True,
            figures=metrics.LANGUAGE_MODEL,
            compared=("perplexity_per_word", "bits_per_byte"),
            yardsticks=("kneser_ney",),
            tracked="perplexity_per_token",
            instead="use generate",
            exports=("score", "step", "generate", "embed"),
            charts={
                "Perplexity": {
                    "per word": "perplexity_per_word",
                    "per token": "perplexity_per_token",
                    "bits per byte": "bits_per_byte",
                },
                "Loss": {"nats per token": "nll_per_token"},
            },
        ),
        Contract(
            name="masked_lm",
            network="par.objectives.masked_lm:MaskedLanguageModel",
            visibility="bidirectional",
            generates=False,
            fills=True,
            instead="use fill",
            exports=("fill", "embed"),
            figures=(metrics.NLL_PER_MASKED_TOKEN, metrics.MASKED_ACCURACY),
            compared=("nll_per_token", "accuracy"),
            yardsticks=("unigram", "bigrams"),
            tracked="nll_per_token",
            charts=MASKED_CHARTS,
            parts=("accuracy",),
            draws=4,
            predicted=MaskedLMSettings.predicted,
            settings=MaskedLMSettings,
            check=check_masked_lm,
            check_data=check_characters,
        ),
        Contract(
            name="authors",
            network="par.objectives.authors:AuthorNetwork",
            visibility="bidirectional",
            generates=False,
            encodes=True,
            instead="use discriminate",
            exports=("user_encoding", "encodings", "embed"),
            figures=(metrics.ACCURACY_OF_PAIRS, metrics.LOSS_PER_TEXT),
            compared=("accuracy", "nll_per_token"),
            tracked="nll_per_token",
            charts={
                "Accuracy": {"against a negative": "accuracy"},
                "Loss": {"per text": "nll_per_token"},
            },
            carries_memory=False,
            reads="documents",
            read_shape=AuthorsSettings.read_shape,
            shared=("candidates",),
            parts=("accuracy",),
            draws=2,
            unit="text",
            predicted=lambda settings, seq_len: 0,
            settings=AuthorsSettings,
            check=check_authors,
            check_data=author_pools.check_data,
        ),
        SPAN_ELECTRA,
        CLASSIFY,
        DISTILL,
        CONTEXT_MLM,
        # reads contexts as context_mlm does, chosen by a recipe
        dataclasses.replace(
            CONTEXT_MLM,
            name="thread_mlm",
            network="par.objectives.contexts.thread_mlm:ThreadLanguageModel",
            shared=("contexts",),
            read_shape=ThreadSettings.read_shape,
            predicted=ThreadSettings.predicted,
            helpers=ThreadSettings.helpers,
            halves=lambda settings: (),
            settings=ThreadSettings,
            of_layers=(),
        ),
    )
}
# of all runs: a composed model is one that no command trains
CONTRACTS = ChainMap(OBJECTIVES, {COMPOSED.name: COMPOSED})
