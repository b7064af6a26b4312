"use strict";
// frames of a cine lie side by side in one image; all panes of a series show the same frame
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
addEventListener("load", () => document.querySelectorAll(".cine").forEach(start));

function start(cine) {
  const count = Number(cine.dataset.frames);
  const button = cine.querySelector("button"), slider = cine.querySelector("input"), label = cine.querySelector("output");
  const panes = [...cine.querySelectorAll("canvas")].map((canvas) => ({ canvas, film: canvas.previousElementSibling }));
  let frame = Number(cine.dataset.first), timer = null;

  function show(number) {
    frame = number % count;
    for (const { canvas, film } of panes) {
      const columns = Number(film.dataset.columns), { width, height } = canvas;
      const x = (frame % columns) * width, y = Math.floor(frame / columns) * height;
      canvas.getContext("2d").drawImage(film, x, y, width, height, 0, 0, width, height);
    }
    slider.value = frame;
    label.value = `${frame + 1} / ${count}`;
  }
  function play(on) {
    clearInterval(timer);
    timer = on ? setInterval(() => show(frame + 1), Number(cine.dataset.milliseconds)) : null;
    button.textContent = on ? "Pause" : "Play";
  }

  show(frame);
  play(!still);
  button.addEventListener("click", () => play(timer === null));
  slider.addEventListener("input", () => { play(false); show(Number(slider.value)); });
}
