"use strict";
// Draws the page's charts in the colours of its style sheet, again when the reader's theme changes, and
// follows the sliders.
(() => {
  const narrow = 560; // pixels of a window below which text in charts is smaller

  // {"$color": "train"} stands for the style sheet's --train; everything else is taken as it is.
  const coloured = (value, style) => {
    if (Array.isArray(value)) return value.map((item) => coloured(item, style));
    if (value === null || typeof value !== "object") return value;
    const keys = Object.keys(value);
    if (keys.length === 1 && keys[0] === "$color") {
      return style.getPropertyValue("--" + value.$color).trim();
    }
    return Object.fromEntries(keys.map((key) => [key, coloured(value[key], style)]));
  };

  const drawOne = (source) => {
    const figure = coloured(JSON.parse(source.textContent), getComputedStyle(document.documentElement));
    const plot = document.getElementById(source.dataset.plot);
    if (window.innerWidth < narrow) figure.layout.font.size = 11;
    for (const [axis, room] of [[figure.layout.xaxis, plot.clientWidth], [figure.layout.yaxis, plot.clientHeight]]) {
      // Where every label was asked for and they would overlap, plotly chooses which ones to leave out.
      const size = (axis.tickfont || figure.layout.font).size;
      if (axis.nticks * 1.07 * size > room) delete axis.nticks;
    }
    if (figure.frames) {
      const frame = figure.frames[document.getElementById(source.dataset.plot + "-slider").value];
      figure.data.forEach((trace, number) => Object.assign(trace, frame.traces[number]));
    }
    const settings = { displayModeBar: false, responsive: true, showTips: false, scrollZoom: false };
    Plotly.react(plot, figure.data, figure.layout, settings);
  };

  const figures = [...document.querySelectorAll("script.figure")];
  const draw = () => figures.forEach(drawOne);

  for (const edge of document.querySelectorAll(".wipe .edge")) {
    edge.addEventListener("input", () => edge.closest(".wipe").style.setProperty("--at", edge.value + "%"));
  }

  for (const slider of document.querySelectorAll(".slider input[data-plot]")) {
    const source = figures.find((figure) => figure.dataset.plot === slider.dataset.plot);
    const positions = JSON.parse(slider.dataset.positions);
    slider.addEventListener("input", () => {
      slider.nextElementSibling.textContent = positions[slider.value];
      slider.setAttribute("aria-valuetext", positions[slider.value]);
      if (source) drawOne(source);
    });
  }

  draw();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
