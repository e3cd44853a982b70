// Moves the heat map of pi over the steps of the search. Without it, the map shows the last state.
"use strict";
(() => {
  const source = document.getElementById("pi-data");
  if (!source) return;
  const { steps, total, tau, pi, stochastic, levels } = JSON.parse(source.textContent);
  const slider = document.getElementById("pi-step");
  const button = document.getElementById("pi-play");
  const state = document.getElementById("pi-state");
  const cells = document.querySelectorAll("#pi-map td"); // row by row: a row a kind, a column a block
  const blocks = stochastic.length;
  const last = steps.length - 1;
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  let timer = 0;

  // Of equal probabilities the later kind, the cheaper one, as in par.search.architecture.argmax.
  const likeliest = (row) => row.reduce((best, p, kind) => (p >= row[best] ? kind : best), 0);

  function show(frame) {
    pi[frame].forEach((row, block) => {
      const best = likeliest(row);
      row.forEach((p, kind) => {
        const cell = cells[kind * blocks + block];
        cell.className = `p${Math.floor(p * levels + 0.5)}${kind === best ? " best" : ""}`;
        cell.firstChild.textContent = stochastic[block] ? p.toFixed(2) : kind === best ? "fixed" : "";
      });
    });
    const text = `step ${steps[frame].toLocaleString("en-GB")} of ${total.toLocaleString("en-GB")}, tau ${tau[frame].toFixed(3)}`;
    state.textContent = text;
    slider.value = frame;
    slider.setAttribute("aria-valuetext", text);
  }

  function pause() {
    clearInterval(timer);
    timer = 0;
    button.textContent = "Play";
  }

  function play() {
    // In ten seconds as the GIF; for whom motion is too much, in ten states of a second each.
    const stride = calm.matches ? Math.max(1, Math.ceil(last / 10)) : 1;
    const wait = calm.matches ? 1000 : Math.min(500, Math.max(40, 10000 / steps.length));
    if (Number(slider.value) === last) show(0);
    button.textContent = "Pause";
    timer = setInterval(() => {
      show(Math.min(last, Number(slider.value) + stride));
      if (Number(slider.value) === last) pause();
    }, wait);
  }

  slider.addEventListener("input", () => {
    pause();
    show(Number(slider.value));
  });
  button.addEventListener("click", () => (timer ? pause() : play()));
  addEventListener("beforeprint", () => {
    pause();
    show(last);
  });
  show(last);
  document.getElementById("pi-controls").hidden = false;
})();
