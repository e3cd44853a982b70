// The forward pass of a PAR Transformer-XL, one token after another, with memory: what
// forward.py of the safetensors export does in NumPy, arranged for speed. Keys and values of a token
// are computed once and kept, as they depend on nothing but the token's own state.
//
// settings: config.json of an export. weights: by name { shape, data: Float32Array }.
// context: how many tokens back a token sees.
const EPSILON = 1e-6;

export class Network {
  constructor(settings, weights, context) {
    Object.assign(this, { settings, weights, context });
    this.width = settings.d_model;
    this.heads = settings.num_heads;
    this.blocks = settings.blocks.map((block, number) => this.prepared(block, `blocks.${number}.`));
    this.attending = this.blocks.filter((block) => block.attention);
    this.final = settings.norm === "pre" ? this.norm("final_norm.") : null;
    this.parts = this.softmaxParts();
    this.state = new Float32Array(this.width);
    this.reset();
  }

  // Forgets all that was read.
  reset() {
    this.position = 0;
    for (const { attention } of this.attending) attention.keys.fill(0);
  }

  norm(name) {
    return { gain: this.weights[`${name}gain`].data, bias: this.weights[`${name}bias`].data };
  }

  prepared(block, name) {
    const pre = this.settings.norm === "pre", parts = [];
    [...block.kinds].forEach((kind, i) => {
      const norm = this.norm(pre ? `${name}norm.` : `${name}norm_${kind}.`);
      const made = kind === "a" ? this.attention(`${name}attention.`) : this.dense(`${name}dense.`);
      parts.push({ kind, weight: block.weights[i], norm, made });
    });
    return { parts, identity: block.identity, attention: parts.find(({ kind }) => kind === "a")?.made };
  }

  dense(name) {
    const w = (part) => this.weights[`${name}${part}`].data;
    const [inner, innerBias, outer, outerBias] = ["inner", "inner_bias", "outer", "outer_bias"].map(w);
    return { inner, innerBias, outer, outerBias, hidden: new Float32Array(innerBias.length) };
  }

  // The codes of all distances are projected once. Keys and values lie in rings of `context` + 1
  // places.
  attention(name) {
    const { width, context } = this, places = context + 1;
    const w = (part) => this.weights[`${name}${part}`].data;
    const codes = new Float32Array(places * width);
    for (let distance = 0; distance < places; distance++) {
      const code = new Float32Array(width);
      for (let pair = 0; pair < width / 2; pair++) {
        const angle = distance * 10000 ** ((-2 * pair) / width);
        code[pair] = Math.sin(angle);
        code[pair + width / 2] = Math.cos(angle);
      }
      product(code, w("position"), codes.subarray(distance * width, (distance + 1) * width));
    }
    return {
      query: w("query"), keyValue: w("key_value"), output: w("output"), codes,
      u: w("content_bias"), v: w("position_bias"),
      keys: new Float32Array(places * width), values: new Float32Array(places * width),
      queried: new Float32Array(width), both: new Float32Array(2 * width), mixed: new Float32Array(width),
      looks: new Float32Array(this.heads * places), // [H, distance] of the last token
    };
  }

  // The head's columns, then those of each tail: { down, table, size, rows }, rows: whether a row of
  // the table is an id (tied embeddings) instead of a column.
  softmaxParts() {
    const { settings, weights, width } = this, { cutoffs, vocab_size: all } = settings;
    const ends = [...cutoffs, all], parts = [];
    const table = (name) => weights[name]?.data;
    if (!settings.tie_embeddings) {
      parts.push({ table: table("head"), size: ends[0] + cutoffs.length });
      cutoffs.forEach((_, i) => {
        parts.push({ down: table(`tails.${i}.down`), table: table(`tails.${i}.out`), size: ends[i + 1] - ends[i] });
      });
      return parts;
    }
    const embedding = table("embedding");
    const rows = (low, high) => embedding.subarray(low * width, high * width);
    parts.push({ table: rows(0, ends[0]), size: ends[0], rows: true, slots: table("head") });
    cutoffs.forEach((_, i) => {
      parts.push({
        down: table(`tails.${i}.down`), up: table(`tails.${i}.up`),
        table: rows(ends[i], ends[i + 1]), size: ends[i + 1] - ends[i], rows: true,
      });
    });
    return parts;
  }

  // Reads a token; the state after it is in `state`, where it looked in `looks` of each attention.
  read(token) {
    const { width, weights, settings } = this, pre = settings.norm === "pre";
    const scale = Math.sqrt(width), embedding = weights.embedding.data;
    let x = new Float32Array(width);
    for (let i = 0; i < width; i++) x[i] = embedding[token * width + i] * scale;
    for (const { parts, identity } of this.blocks) {
      const out = x.map((value) => (pre ? value : identity * value));
      for (const { kind, weight, norm, made } of parts) {
        const given = pre ? normalized(x, norm) : x;
        let branch = kind === "a" ? this.attend(made, given) : feedForward(made, given);
        if (!pre) branch = normalized(branch.map((value, i) => value + x[i]), norm);
        for (let i = 0; i < width; i++) out[i] += weight * branch[i];
      }
      x = out;
    }
    this.state = this.final ? normalized(x, this.final) : x;
    this.position += 1;
  }

  // A_j = ((q + u)·k_j + (q + v)·r_j) / sqrt(K), softmax over the tokens that are seen, then their
  // values, times W_o.
  attend(a, x) {
    const { width, heads, context, position } = this, places = context + 1, size = width / heads;
    const here = position % places, count = Math.min(position, context) + 1;
    product(x, a.query, a.queried);
    product(x, a.keyValue, a.both);
    a.keys.set(a.both.subarray(0, width), here * width);
    a.values.set(a.both.subarray(width), here * width);
    a.mixed.fill(0);
    a.looks.fill(0);
    for (let head = 0; head < heads; head++) {
      const from = head * size, looks = a.looks.subarray(head * places, (head + 1) * places);
      let highest = -Infinity;
      for (let distance = 0; distance < count; distance++) {
        const key = ((here - distance + places) % places) * width + from, code = distance * width + from;
        let logit = 0;
        for (let i = 0; i < size; i++) {
          const query = a.queried[from + i];
          logit += (query + a.u[from + i]) * a.keys[key + i] + (query + a.v[from + i]) * a.codes[code + i];
        }
        looks[distance] = logit / Math.sqrt(size);
        highest = Math.max(highest, looks[distance]);
      }
      let total = 0;
      for (let distance = 0; distance < count; distance++) {
        looks[distance] = Math.exp(looks[distance] - highest);
        total += looks[distance];
      }
      for (let distance = 0; distance < count; distance++) {
        looks[distance] /= total;
        const value = ((here - distance + places) % places) * width + from;
        for (let i = 0; i < size; i++) a.mixed[from + i] += looks[distance] * a.values[value + i];
      }
    }
    return product(a.mixed, a.output, new Float32Array(width));
  }

  // Log-probabilities [V], nats, of the token after those that were read.
  logProbabilities() {
    const { cutoffs, vocab_size: all } = this.settings, found = new Float32Array(all);
    const head = logSoftmax(this.logits(this.parts[0]));
    const first = cutoffs.length ? cutoffs[0] : all;
    found.set(head.subarray(0, first));
    let at = first;
    this.parts.slice(1).forEach((part, i) => {
      const within = logSoftmax(this.logits(part)), slot = head[first + i];
      for (let j = 0; j < part.size; j++) found[at + j] = slot + within[j];
      at += part.size;
    });
    return found;
  }

  logits({ down, up, table, size, rows, slots }) {
    let x = this.state;
    if (down) x = product(x, down, new Float32Array(down.length / x.length));
    if (up) {
      // tied: up x, [D] of [D, d] and [d]
      const { width } = this, inner = x;
      x = new Float32Array(width);
      for (let i = 0; i < width; i++) x[i] = dot(up, i * inner.length, inner);
    }
    if (!rows) return product(x, table, new Float32Array(size));
    const extra = slots ? slots.length / this.width : 0, found = new Float32Array(size + extra);
    for (let i = 0; i < size; i++) found[i] = dot(table, i * x.length, x);
    if (extra) product(x, slots, found.subarray(size));
    return found;
  }
}

// x [n] times a matrix [n, m] -> out [m]. Rows of x's zeros are left out; of the others eight are
// added at a time, so that `out` is read and written an eighth as often.
function product(x, matrix, out) {
  const m = out.length, rows = new Int32Array(x.length);
  let count = 0, k = 0;
  for (let i = 0; i < x.length; i++) if (x[i] !== 0) rows[count++] = i;
  out.fill(0);
  for (; k + 8 <= count; k += 8) {
    const [i0, i1, i2, i3, i4, i5, i6, i7] = rows.subarray(k, k + 8);
    const x0 = x[i0], x1 = x[i1], x2 = x[i2], x3 = x[i3], x4 = x[i4], x5 = x[i5], x6 = x[i6], x7 = x[i7];
    const r0 = i0 * m, r1 = i1 * m, r2 = i2 * m, r3 = i3 * m, r4 = i4 * m, r5 = i5 * m, r6 = i6 * m, r7 = i7 * m;
    for (let j = 0; j < m; j++) {
      out[j] +=
        x0 * matrix[r0 + j] + x1 * matrix[r1 + j] + x2 * matrix[r2 + j] + x3 * matrix[r3 + j] +
        x4 * matrix[r4 + j] + x5 * matrix[r5 + j] + x6 * matrix[r6 + j] + x7 * matrix[r7 + j];
    }
  }
  for (; k < count; k++) {
    const factor = x[rows[k]], row = rows[k] * m;
    for (let j = 0; j < m; j++) out[j] += factor * matrix[row + j];
  }
  return out;
}

function dot(matrix, at, x) {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += matrix[at + i] * x[i];
  return sum;
}

function normalized(x, { gain, bias }) {
  const n = x.length, out = new Float32Array(n);
  let mean = 0, square = 0;
  for (let i = 0; i < n; i++) mean += x[i];
  mean /= n;
  for (let i = 0; i < n; i++) square += (x[i] - mean) * (x[i] - mean);
  const scale = 1 / Math.sqrt(square / n + EPSILON);
  for (let i = 0; i < n; i++) out[i] = (x[i] - mean) * scale * gain[i] + bias[i];
  return out;
}

function feedForward({ inner, innerBias, outer, outerBias, hidden }, x) {
  product(x, inner, hidden);
  for (let i = 0; i < hidden.length; i++) hidden[i] = Math.max(0, hidden[i] + innerBias[i]);
  const out = product(hidden, outer, new Float32Array(x.length));
  for (let i = 0; i < out.length; i++) out[i] += outerBias[i];
  return out;
}

// In place.
function logSoftmax(logits) {
  let highest = -Infinity, total = 0;
  for (let i = 0; i < logits.length; i++) if (logits[i] > highest) highest = logits[i];
  for (let i = 0; i < logits.length; i++) total += Math.exp(logits[i] - highest);
  const least = highest + Math.log(total);
  for (let i = 0; i < logits.length; i++) logits[i] -= least;
  return logits;
}
