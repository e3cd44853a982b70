// Which token comes next, as par.evaluate.sampling does it: of the top_k likeliest ids (0: all) the
// fewest that together have the probability top_p, at a temperature.

// The id drawn of log-probabilities [V]. allowed: which ids may be drawn. uniform: a number in
// [0, 1). At temperature 0 it is the likeliest, the lowest of equals.
export function draw(logProbabilities, { temperature, topK, topP }, allowed, uniform) {
  let best = -1;
  const ids = [];
  for (let id = 0; id < logProbabilities.length; id++) {
    if (!allowed(id)) continue;
    ids.push(id);
    if (best === -1 || logProbabilities[id] > logProbabilities[best]) best = id;
  }
  if (temperature === 0) return best;
  const highest = logProbabilities[best];
  const odds = new Float64Array(logProbabilities.length);
  for (const id of ids) odds[id] = Math.exp((logProbabilities[id] - highest) / temperature);
  let kept = ids;
  if (topK > 0 || topP < 1) {
    const order = [...ids].sort((a, b) => odds[b] - odds[a] || a - b).slice(0, topK || ids.length);
    const total = order.reduce((sum, id) => sum + odds[id], 0);
    let before = 0, count = 0;
    while (count < order.length && (count === 0 || before / total < topP)) before += odds[order[count++]];
    const least = odds[order[count - 1]];
    kept = ids.filter((id) => odds[id] >= least); // with those as likely as the last one
  }
  const total = kept.reduce((sum, id) => sum + odds[id], 0);
  let below = 0;
  for (const id of kept) {
    below += odds[id];
    if (uniform * total < below) return id;
  }
  return kept[kept.length - 1];
}

// A generator of numbers in [0, 1), the same ones for the same seed (mulberry32).
export function uniforms(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
