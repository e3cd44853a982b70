// Text to ids and back, as SentencePiece does it: normalisation, unigram (Viterbi), BPE (merges),
// words or characters, and bytes for what has no piece.
//
// A model: { kind: "unigram" | "bpe" | "word" | "char", pieces: [string], scores: [number],
// types: "nucdb", one letter a piece (normal, unknown, control, user-defined, byte; - for unused),
// prefix: whether a line begins with a space, trim: whether spaces are collapsed,
// bytes: whether unknown characters become bytes, surface: the text of an unknown piece,
// charsmap: bytes of the map of characters, or null }
export const PAD = 0, UNK = 1, EOS = 3;
export const SPECIAL = 8; // ids below are special
const SPACE = "\u2581"; // SentencePiece's mark of a space
const UNKNOWN_PENALTY = 10; // nats below the rarest piece
const BONUS = 0.1; // what a user-defined piece costs
const encoder = new TextEncoder();

export class Tokenizer {
  constructor(model) {
    this.model = model;
    this.ids = new Map(); // of the pieces that text is cut into
    this.byteIds = new Map();
    this.byteOf = new Map();
    this.symbols = []; // user-defined: never cut, the longest first
    this.longest = 1;
    let lowest = Infinity;
    model.pieces.forEach((piece, id) => {
      const type = model.types[id];
      if (type === "b") {
        const byte = parseInt(piece.slice(3, 5), 16);
        this.byteIds.set(byte, id);
        this.byteOf.set(id, byte);
      }
      if (!"nd-".includes(type)) return;
      this.ids.set(piece, id);
      this.longest = Math.max(this.longest, piece.length);
      if (type === "d") this.symbols.push(piece);
      if (type === "n") lowest = Math.min(lowest, model.scores[id]);
    });
    this.symbols.sort((a, b) => b.length - a.length);
    this.unknownScore = Math.fround(Math.fround(lowest) - UNKNOWN_PENALTY);
    this.map = model.charsmap ? new CharacterMap(model.charsmap) : null;
  }

  // The ids of a text in which every line, the last one too, ends with EOS.
  encode(text) {
    const cleaned = clean(text);
    return this.prompt(cleaned && !cleaned.endsWith("\n") ? `${cleaned}\n` : cleaned);
  }

  // The ids of the beginning of a text: its last line goes on.
  prompt(text) {
    const lines = clean(text).split("\n");
    const ids = [];
    lines.forEach((line, number) => {
      for (const id of this.line(line)) ids.push(id);
      if (number < lines.length - 1) ids.push(EOS);
    });
    return ids;
  }

  // The ids of one line, without its end.
  line(text) {
    if (this.model.kind === "word") return words(text).flatMap((word) => this.cut(word));
    return this.cut(text);
  }

  cut(text) {
    const normalized = this.normalized(text);
    if (!normalized) return [];
    const cut = { unigram: viterbi, bpe: merged, char: characters, word: whole }[this.model.kind];
    const ids = [];
    for (const piece of cut(this, normalized)) {
      const id = this.ids.get(piece);
      if (id !== undefined && this.model.types[id] !== "-") ids.push(id);
      else if (!this.model.bytes) {
        if (ids[ids.length - 1] !== UNK) ids.push(UNK); // one for several that follow one another
      } else for (const byte of encoder.encode(piece)) ids.push(this.byteIds.get(byte));
    }
    return ids;
  }

  // The line as pieces spell it.
  normalized(text) {
    let normal = "";
    for (let at = 0; at < text.length;) {
      const symbol = this.symbolAt(text, at);
      const [size, shown] = symbol
        ? [symbol.length, symbol]
        : (this.map && this.map.match(text, at)) || [characterAt(text, at), null];
      normal += shown === null ? text.slice(at, at + size) : shown;
      at += size;
    }
    if (this.model.trim) normal = normal.replace(/ +/g, " ").replace(/^ | $/g, "");
    if (!normal) return "";
    const spelled = (this.model.prefix ? SPACE : "") + normal.replaceAll(" ", SPACE);
    return this.model.trim ? spelled.replace(/\u2581+$/, "") : spelled;
  }

  symbolAt(text, at) {
    return this.symbols.find((symbol) => text.startsWith(symbol, at)) || "";
  }

  // The text of ids, a line end for each EOS.
  decode(ids) {
    const lines = [[]];
    for (const id of ids) {
      if (id === EOS) lines.push([]);
      else lines[lines.length - 1].push(id);
    }
    return lines.map((line) => this.decodeLine(line)).join("\n");
  }

  decodeLine(ids) {
    let text = "", bytes = [], first = true;
    const flush = () => {
      text += utf8(bytes);
      bytes = [];
    };
    for (const id of ids) {
      const type = this.model.types[id];
      if (type === "b") {
        bytes.push(this.byteOf.get(id));
        first = false;
        continue;
      }
      flush();
      if (type === "c") continue;
      if (type === "u") text += this.model.surface;
      else {
        const piece = this.model.pieces[id];
        const strip = first && (this.model.prefix || this.model.trim) && piece.startsWith(SPACE);
        text += (strip ? piece.slice(1) : piece).replaceAll(SPACE, " ");
      }
      first = false;
    }
    flush();
    return text;
  }

  // What each id adds to the text, given one by one: the bytes of a character are held back until
  // all of them are there, or the line ends.
  stream() {
    let line = [], shown = "";
    return (id) => {
      line.push(id);
      const text = id === EOS ? `${this.decodeLine(line.slice(0, -1))}\n` : this.decodeLine(line);
      const whole = id === EOS ? text : text.replace(/\ufffd+$/, "");
      const added = whole.slice(shown.length);
      shown = whole;
      if (id === EOS) [line, shown] = [[], ""];
      return added;
    };
  }
}

// Without byte order mark, LF for CRLF, U+FFFD for NUL and for half characters.
export function clean(text) {
  const whole = text.toWellFormed ? text.toWellFormed() : text;
  return whole.replace(/^\ufeff/, "").replaceAll("\r\n", "\n").replaceAll("\0", "\ufffd");
}

// What Python's split() gives.
function words(text) {
  return text.split(/[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/).filter(Boolean);
}

function characterAt(text, at) {
  return text.codePointAt(at) > 0xffff ? 2 : 1;
}

// The likeliest segmentation: of equally likely ones, that whose last piece begins first. Sums are
// rounded to float32, as SentencePiece's are.
function viterbi(tokenizer, text) {
  const { ids, longest, unknownScore } = tokenizer;
  const { scores, types } = tokenizer.model;
  const best = new Float32Array(text.length + 1);
  const from = new Int32Array(text.length + 1).fill(-1);
  const reach = (start, end, score) => {
    const candidate = Math.fround(score + best[start]);
    if (from[end] === -1 || candidate > best[end]) {
      best[end] = candidate;
      from[end] = start;
    }
  };
  for (let start = 0; start < text.length;) {
    const size = characterAt(text, start);
    let single = false;
    for (let end = start + size; end <= text.length && end - start <= longest;) {
      const id = ids.get(text.slice(start, end));
      if (id !== undefined && types[id] !== "-") {
        reach(start, end, types[id] === "d" ? -BONUS : scores[id]);
        single ||= end === start + size;
      }
      if (end === text.length) break;
      end += characterAt(text, end);
    }
    if (!single) reach(start, start + size, unknownScore);
    start += size;
  }
  const pieces = [];
  for (let end = text.length; end > 0; end = from[end]) pieces.push(text.slice(from[end], end));
  return pieces.reverse();
}

function characters(tokenizer, text) {
  const pieces = [];
  for (let at = 0; at < text.length;) {
    const symbol = tokenizer.symbolAt(text, at);
    const size = symbol.length || characterAt(text, at);
    pieces.push(text.slice(at, at + size));
    at += size;
  }
  return pieces;
}

function whole(tokenizer, text) {
  return text.match(/\u2581[^\u2581]*|^[^\u2581]+/g);
}

// The pair of neighbours with the highest score is joined, the leftmost of equal ones, until no
// pair is a piece. A binary heap has the pairs; one of which a part has changed is passed over.
function merged(tokenizer, text) {
  const { ids } = tokenizer, symbols = new Set(tokenizer.symbols);
  const { scores } = tokenizer.model;
  const pieces = characters(tokenizer, text);
  const frozen = pieces.map((piece) => symbols.has(piece));
  const next = pieces.map((_, i) => (i + 1 < pieces.length ? i + 1 : -1));
  const previous = pieces.map((_, i) => i - 1);
  const heap = new Heap((a, b) => a.score > b.score || (a.score === b.score && a.left < b.left));
  const offer = (left, right) => {
    if (left === -1 || right === -1 || frozen[left] || frozen[right]) return;
    const id = ids.get(pieces[left] + pieces[right]);
    if (id === undefined) return;
    heap.push({ left, right, score: scores[id], size: pieces[left].length + pieces[right].length });
  };
  for (let i = 1; i < pieces.length; i++) offer(i - 1, i);
  for (let top = heap.pop(); top; top = heap.pop()) {
    const { left, right, size } = top;
    if (!pieces[left] || !pieces[right] || pieces[left].length + pieces[right].length !== size) continue;
    pieces[left] += pieces[right];
    pieces[right] = "";
    next[left] = next[right];
    if (next[right] !== -1) previous[next[right]] = left;
    offer(previous[left], left);
    offer(left, next[left]);
  }
  return pieces.filter(Boolean);
}

class Heap {
  constructor(before) {
    this.items = [];
    this.before = before;
  }

  push(item) {
    const { items, before } = this;
    let at = items.push(item) - 1;
    for (let up = (at - 1) >> 1; at > 0 && before(item, items[up]); up = (at - 1) >> 1) {
      items[at] = items[up];
      at = up;
    }
    items[at] = item;
  }

  pop() {
    const { items, before } = this;
    const top = items[0], last = items.pop();
    if (!items.length) return top;
    let at = 0;
    for (;;) {
      let down = 2 * at + 1;
      if (down >= items.length) break;
      if (down + 1 < items.length && before(items[down + 1], items[down])) down += 1;
      if (!before(items[down], last)) break;
      items[at] = items[down];
      at = down;
    }
    items[at] = last;
    return top;
  }
}

// SentencePiece's map of characters to others: a double array trie of the bytes of what is
// replaced, and the replacements one after the other, with a zero byte at the end of each.
class CharacterMap {
  constructor(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const size = view.getUint32(0, true);
    this.units = Uint32Array.from({ length: size / 4 }, (_, i) => view.getUint32(4 + 4 * i, true));
    this.texts = bytes.subarray(4 + size);
  }

  // [length, replacement] of the longest string at a place that has one, null if none has.
  match(text, at) {
    const { units } = this;
    let place = offsetOf(units[0]), found = null, size = 0;
    while (at + size < text.length) {
      const step = characterAt(text, at + size);
      size += step;
      for (const byte of encoder.encode(text.slice(at + size - step, at + size))) {
        place ^= byte;
        const unit = units[place];
        if ((unit & 0x800000ff) >>> 0 !== byte) return found;
        place ^= offsetOf(unit);
        if ((unit >>> 8) & 1) found = [size, units[place] & 0x7fffffff];
        if (typeof found?.[1] === "number") found[1] = this.textAt(found[1]);
      }
    }
    return found;
  }

  textAt(offset) {
    return utf8(this.texts.subarray(offset, this.texts.indexOf(0, offset)));
  }
}

function offsetOf(unit) {
  return (unit >>> 10) << ((unit & 512) >>> 6);
}

// The text of bytes; each byte that is no part of a character is U+FFFD.
function utf8(bytes) {
  let text = "";
  const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  for (let at = 0; at < bytes.length;) {
    const lead = bytes[at];
    const size = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    try {
      text += strict.decode(Uint8Array.from(bytes.slice(at, at + size)));
      at += Math.min(size, bytes.length - at);
    } catch {
      text += "\ufffd";
      at += 1;
    }
  }
  return text;
}
