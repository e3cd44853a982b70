// The page: it gives the worker the network and a prompt, shows the tokens as they come, and where
// the network looked.
"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const [form, text, state, told, map] = ["form", "text", "state", "token", "map"].map(find);
  const write = find("write"), stop = find("stop");
  const LIMITS = [0.5, 1.5, 3, 5, 8]; // nats, between the colours of surprise
  const MAP_TOKENS = 48;
  let tokens = [], spans = [], chosen = -1, nats = 0, started = 0;

  const program = new Blob([find("program").textContent], { type: "text/javascript" });
  const worker = new Worker(URL.createObjectURL(program));
  worker.onmessage = ({ data }) => {
    if (data.ready) {
      state.textContent = "Ready.";
      write.disabled = false;
    }
    if (data.tokens) {
      data.tokens.forEach(add);
      drawMap();
    }
    if (data.done) finish(`${count(data.count)} in ${data.seconds.toFixed(1)} s, ${Math.round(data.count / data.seconds)} a second`);
    if (data.failed) finish(`The network failed: ${data.failed}`);
  };
  worker.onerror = (event) => finish(`The network could not be started: ${event.message}`);
  worker.postMessage({
    load: {
      page: JSON.parse(find("page-data").textContent),
      weights: find("weights").textContent,
      charsmap: find("charsmap").textContent,
    },
  });

  const number = (id) => Number(find(id).value);

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    [tokens, spans, chosen, nats] = [[], [], -1, 0];
    text.replaceChildren();
    state.textContent = "Writing.";
    stop.disabled = false;
    started = performance.now();
    worker.postMessage({
      write: {
        prompt: find("prompt").value,
        settings: {
          length: number("length"), temperature: number("temperature"), topK: number("top-k"),
          topP: number("top-p"), seed: number("seed"),
        },
      },
    });
  });

  function halt() {
    if (stop.disabled) return;
    worker.postMessage({ stop: true });
    finish(`Stopped after ${count(tokens.length)}`);
  }

  stop.addEventListener("click", halt);
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") halt();
  });

  function count(tokens) {
    return `${tokens} ${tokens === 1 ? "token" : "tokens"}`;
  }

  function finish(line) {
    const mean = tokens.length ? `; ${(nats / tokens.length).toFixed(2)} nats a token` : "";
    state.textContent = `${line}${mean}.`;
    stop.disabled = true;
  }

  function add(token) {
    const span = document.createElement("span"), place = tokens.length;
    const level = LIMITS.filter((limit) => token.nll >= limit).length;
    span.className = `s${level}${token.given ? " given" : ""}`;
    span.textContent = token.text;
    span.addEventListener("click", () => choose(place));
    text.append(span);
    tokens.push(token);
    spans.push(span);
    nats += token.nll;
  }

  // The probabilities with which a token looked at itself and at those before it, the nearest first.
  function looksOf(token) {
    if (!map || !token.looks.length) return [];
    const heads = token.looks[number("block")], head = number("head");
    if (head >= 0) return heads[head];
    return heads[0].map((_, back) => heads.reduce((sum, each) => sum + each[back], 0) / heads.length);
  }

  function choose(place) {
    spans.forEach((span) => {
      span.classList.remove("chosen");
      span.style.boxShadow = "";
    });
    chosen = Math.max(0, Math.min(place, tokens.length - 1));
    if (!tokens.length) return;
    const token = tokens[chosen], looks = looksOf(token);
    spans[chosen].classList.add("chosen");
    looks.forEach((share, back) => {
      const span = spans[chosen - back];
      if (span && share > 0.005) span.style.boxShadow = `inset 0 -${(0.6 * Math.sqrt(share)).toFixed(2)}em 0 var(--look)`;
    });
    const most = looks.indexOf(Math.max(...looks)), there = tokens[chosen - most];
    const looked = looks.length && there ? `; it looks most at ${JSON.stringify(there.piece)} (${percent(looks[most])})` : "";
    told.textContent = `Token ${chosen + 1}, ${JSON.stringify(token.piece)}: ${token.nll.toFixed(2)} nats, probability ${percent(Math.exp(-token.nll))}${looked}.`;
  }

  function percent(share) {
    return `${(100 * share).toFixed(share < 0.1 ? 2 : 0)} %`;
  }

  text.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowUp: -10, ArrowRight: 1, ArrowDown: 10 }[event.key];
    const end = { Home: 0, End: tokens.length - 1 }[event.key];
    if (step === undefined && end === undefined) return;
    event.preventDefault();
    choose(end === undefined ? chosen + step : end);
  });

  function drawMap() {
    if (!map) return;
    const shown = tokens.slice(-MAP_TOKENS), size = Math.max(shown.length, 1);
    const side = map.width / size, context = map.getContext("2d");
    const ink = getComputedStyle(map).color;
    context.clearRect(0, 0, map.width, map.height);
    context.fillStyle = ink;
    shown.forEach((token, row) => {
      looksOf(token).forEach((share, back) => {
        if (back > row) return;
        context.globalAlpha = Math.min(1, Math.sqrt(share));
        context.fillRect((row - back) * side, row * side, Math.ceil(side), Math.ceil(side));
      });
    });
    context.globalAlpha = 1;
    map.setAttribute("aria-label", `Attention of the last ${count(shown.length)} to each other`);
  }

  for (const id of ["block", "head"]) {
    find(id)?.addEventListener("change", () => {
      drawMap();
      if (chosen >= 0) choose(chosen);
    });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawMap);
})();
