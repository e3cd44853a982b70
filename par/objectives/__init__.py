"""One module an objective, behind one contract.

visibility                              who sees whom in the window: causal or bidirectional
prepare(window, seed) -> batch          [B, T+1] int32 -> what `loss` takes; pure; seed: [2]
                                        integers, others at every step
build(make_trunk)                       makes the layers; may call make_trunk more than once
token_nll(batch, memories, phase)       -> nll [B, T], weight [B, T], memories; nats of each
                                        target, and what it counts
loss(batch, memories, phase)            -> nll_sum, weight_sum, metrics, memories; sums in nats and
                                        tokens
layers, trunk                           what is trained and saved; the trunk whose architecture is
                                        searched
"""

from par.objectives.causal_lm import CausalLanguageModel

OBJECTIVES = {"causal_lm": CausalLanguageModel}
