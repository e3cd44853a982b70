"""Objectives, one per module, with one contract.

visibility                          causal or bidirectional: which tokens of the window see which
prepare(window, seed) -> batch      [B, T+1] int32 -> the input of `loss`; pure; seed: [2]
                                    integers, different at every step
build(make_trunk)                   makes the layers; may call make_trunk more than once
token_nll(batch, memories, phase)   -> nll [B, T] (nats), weight [B, T], memories
loss(batch, memories, phase)        -> nll_sum (nats), weight_sum (tokens), metrics, memories
layers, trunk                       the layers that are trained and saved; the trunk whose
                                    architecture is searched
"""

from par.objectives.causal_lm import CausalLanguageModel

OBJECTIVES = {"causal_lm": CausalLanguageModel}
