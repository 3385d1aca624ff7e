"use strict";
// Draws the page's charts in the colours of its style sheet, and again when the reader's theme changes.
(() => {
  const narrow = 560; // pixels of a window below which text in charts is smaller
  const labelRoom = 8; // pixels that a label along an axis needs at least

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

  const draw = () => {
    const style = getComputedStyle(document.documentElement);
    for (const source of document.querySelectorAll("script.figure")) {
      const figure = coloured(JSON.parse(source.textContent), style);
      const plot = document.getElementById(source.dataset.plot);
      if (window.innerWidth < narrow) figure.layout.font.size = 11;
      for (const axis of [figure.layout.xaxis, figure.layout.yaxis]) {
        // Where every label was asked for and they would overlap, plotly chooses which ones to leave out.
        if (axis.nticks * labelRoom > plot.clientWidth) delete axis.nticks;
      }
      const settings = { displayModeBar: false, responsive: true, showTips: false };
      Plotly.react(plot, figure.data, figure.layout, settings);
    }
  };

  draw();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
