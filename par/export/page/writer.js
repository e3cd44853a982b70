// What the page's worker does: it reads a prompt and writes after it, a token at a time, so that it
// can be stopped.
import { Network } from "./network.js";
import { draw, uniforms } from "./sampling.js";
import { EOS, SPECIAL, Tokenizer } from "./tokenizer.js";
import { bytesOf, unpacked } from "./weights.js";

const LOOK_BACK = 64; // tokens whose attention is shown

export class Writer {
  // page: { settings, context, entries, tokenizer } with the weights and the map of characters in
  // base64.
  constructor({ settings, context, entries, tokenizer }, weights, charsmap) {
    const map = charsmap ? bytesOf(charsmap) : null;
    this.tokenizer = new Tokenizer({ ...tokenizer, charsmap: map });
    this.network = new Network(settings, unpacked(entries, bytesOf(weights)), context);
  }

  // Yields { id, piece, text, nll, probability, looks } of each token of the prompt and of the `length` that
  // are written after it. looks: of each block that attends, of each head, the probabilities of
  // this token and of those before it, the nearest first.
  *write(prompt, settings) {
    const { network, tokenizer } = this, random = uniforms(settings.seed);
    const allowed = (id) => id >= SPECIAL || id === EOS;
    const ids = tokenizer.prompt(prompt.replace(/ +$/, "")), shown = tokenizer.stream();
    network.reset();
    network.read(EOS);
    for (let place = 0; place < ids.length + settings.length; place++) {
      const logProbabilities = network.logProbabilities();
      const given = place < ids.length;
      const id = given ? ids[place] : draw(logProbabilities, settings, allowed, random());
      network.read(id);
      yield {
        id, given, piece: tokenizer.model.pieces[id], text: shown(id), nll: -logProbabilities[id],
        looks: this.looks(),
      };
    }
  }

  looks() {
    const { attending, heads, context, position } = this.network;
    const seen = Math.min(position, context + 1, LOOK_BACK);
    return attending.map(({ attention }) =>
      Array.from({ length: heads }, (_, head) =>
        Array.from(attention.looks.subarray(head * (context + 1), head * (context + 1) + seen))));
  }
}

// In a worker: { load: { page, weights, charsmap } } once, then { write: { prompt, settings } } and
// { stop: true }; answers { ready }, { tokens: [...] } several times, { done, seconds } and { failed }.
export function serve(scope) {
  let writer = null, turn = 0;
  scope.onmessage = async ({ data }) => {
    const mine = ++turn; // whatever is being written ends
    try {
      if (data.load) {
        writer = new Writer(data.load.page, data.load.weights, data.load.charsmap);
        scope.postMessage({ ready: true });
      }
      if (!data.write) return;
      const { prompt, settings } = data.write, started = performance.now();
      let tokens = [], last = started, count = 0;
      for (const token of writer.write(prompt, settings)) {
        tokens.push(token);
        count += 1;
        if (performance.now() - last < 50) continue;
        scope.postMessage({ tokens });
        tokens = [];
        await new Promise((resolve) => setTimeout(resolve)); // messages are read
        if (mine !== turn) return;
        last = performance.now();
      }
      scope.postMessage({ tokens });
      scope.postMessage({ done: true, count, seconds: (performance.now() - started) / 1000 });
    } catch (error) {
      scope.postMessage({ failed: String(error) });
    }
  };
}
