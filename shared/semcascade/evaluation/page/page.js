"use strict";
// Draws the charts, and moves them with the threshold. All data stand in the page; nothing is fetched.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const slider = document.getElementById("threshold");
  const signal = document.getElementById("signal");
  const views = new Map();

  const percent = (value) => `${(100 * value).toFixed(0)} %`;

  function showNumbers(step) {
    const text = {
      threshold: step.threshold.toFixed(2),
      rate: percent(step.rate),
      cost: percent(step.cost),
      quality: step.quality.toFixed(3),
    };
    for (const [name, value] of Object.entries(text)) document.getElementById(`now-${name}`).textContent = value;
    slider.setAttribute(
      "aria-valuetext",
      `${text.threshold}: ${text.rate} deferred, ${text.cost} of the target's cost, quality ${text.quality}`,
    );
  }

  function moveTo(threshold) {
    const step = data.steps[Math.round(threshold * (data.steps.length - 1))];
    showNumbers(step);
    for (const name of ["deferral", "frontier", "histogram"]) views.get(name)?.data("now", [step]).runAsync();
  }

  function chooseSignal(name) {
    views.get("deferral")?.signal("chosen", name).runAsync();
    for (const row of document.querySelectorAll("#signals tbody tr")) {
      row.classList.toggle("chosen", row.dataset.signal === name);
    }
  }

  /* Colours for light or dark, and legends that fit the width. */
  function theme() {
    const chosen = dark.matches ? data.themes.dark : data.themes.light;
    return { ...chosen, legend: { ...chosen.legend, columns: window.innerWidth < 560 ? 1 : 2 } };
  }

  async function draw() {
    const options = {
      actions: false,
      ast: true, // expressions are interpreted: the page's policy lets no text become code
      renderer: "svg",
      config: theme(),
      tooltip: { theme: dark.matches ? "dark" : "light" },
    };
    for (const [name, spec] of Object.entries(data.charts)) {
      views.get(name)?.finalize();
      const { view } = await window.vegaEmbed(document.getElementById(`chart-${name}`), spec, options);
      views.set(name, view);
    }
    if (slider.dataset.moved) moveTo(Number(slider.value));
    if (signal) chooseSignal(signal.value);
    document.documentElement.dataset.drawn = dark.matches ? "dark" : "light";
  }

  slider.addEventListener("input", () => {
    slider.dataset.moved = "yes";
    moveTo(Number(slider.value));
  });
  signal?.addEventListener("change", () => chooseSignal(signal.value));
  dark.addEventListener("change", draw);
  draw();
})();
