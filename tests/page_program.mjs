// Runs the modules of a page in node. Standard input: a job as JSON; standard output: its answer.
//   { encode: [lines], model }                  the ids of each
//   { decode: [ids], model }                    the text of each, and the joined stream of each
//   { write: [{ prompt, settings }], page, weights, charsmap }   what the page writes
import { readFileSync } from "node:fs";

const modules = new URL("../par/export/page/", import.meta.url);
const { Tokenizer } = await import(new URL("tokenizer.js", modules));
const { bytesOf } = await import(new URL("weights.js", modules));
const { Writer } = await import(new URL("writer.js", modules));
const job = JSON.parse(readFileSync(0, "utf8"));

function tokenizerOf({ model, charsmap }) {
  return new Tokenizer({ ...model, charsmap: charsmap ? bytesOf(charsmap) : null });
}

let answer;
if (job.encode) {
  const tokenizer = tokenizerOf(job);
  answer = job.encode.map((text) => tokenizer.encode(text));
} else if (job.decode) {
  const tokenizer = tokenizerOf(job);
  answer = job.decode.map((ids) => {
    const next = tokenizer.stream();
    return [tokenizer.decode(ids), ids.map((id) => next(id)).join("")];
  });
} else {
  const writer = new Writer(job.page, job.weights, job.charsmap);
  answer = job.write.map(({ prompt, settings }) => [...writer.write(prompt, settings)]);
}
process.stdout.write(JSON.stringify(answer));
