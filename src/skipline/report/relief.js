"use strict";
// Draws surfaces in 3-D on a plain canvas: no WebGL, which many machines lack or warn about, and which a page
// can hold only few of. Facets are painted from the back to the front; the slider, or a finger or mouse that
// moves sideways, turns the surface.
(() => {
  const tilt = 0.52; // radians from which one looks down
  const flat = 0.72; // height of the surface, of its half width

  const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

  const draw = (source) => {
    const { z, ticks, names } = JSON.parse(source.textContent);
    const canvas = document.getElementById(source.dataset.plot);
    const angle = (document.getElementById(source.dataset.plot + "-slider").value * Math.PI) / 180;
    const style = getComputedStyle(document.documentElement);
    const named = (name) => style.getPropertyValue("--" + name).trim();
    const scale = [0, 1, 2, 3, 4].map((step) => rgb(named("heat-" + step)));
    const dense = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    canvas.width = width * dense;
    canvas.height = height * dense;
    const pen = canvas.getContext("2d");
    pen.setTransform(dense, 0, 0, dense, 0, 0);
    const unit = Math.min(width / 3.5, height / 3);

    // x and y from -1 to 1, height from 0 to 1; the third number is the distance from the eye.
    const place = (x, y, h) => {
      const across = x * Math.cos(angle) - y * Math.sin(angle);
      const away = x * Math.sin(angle) + y * Math.cos(angle);
      const up = (2 * h - 1) * flat;
      return [
        width / 2 + unit * across,
        height / 2 - unit * (away * Math.sin(tilt) + up * Math.cos(tilt)),
        away * Math.cos(tilt) - up * Math.sin(tilt),
      ];
    };
    const shade = (h) => {
      const at = Math.min(3.999, Math.max(0, 4 * h));
      const [low, high] = [scale[Math.floor(at)], scale[Math.floor(at) + 1]];
      return "rgb(" + low.map((value, i) => Math.round(value + (high[i] - value) * (at % 1))).join(",") + ")";
    };
    const path = (points) => {
      pen.beginPath();
      points.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    };
    // Words stay inside the canvas, and where they would cover others they are left out.
    const taken = [];
    const text = (words, [x, y], align) => {
      const long = pen.measureText(words).width;
      const left = align === "left" ? x : align === "right" ? x - long : x - long / 2;
      const start = Math.min(width - long - 2, Math.max(2, left));
      const free = taken.every(([a, b, line]) => start > b + 4 || start + long < a - 4 || Math.abs(y - line) > 14);
      if (!free) return;
      taken.push([start, start + long, y]);
      pen.textAlign = "left";
      pen.fillText(words, start, y);
    };

    const [rows, columns] = [z.length, z[0].length];
    const facets = [];
    for (let i = 0; i + 1 < rows; i++) {
      for (let j = 0; j + 1 < columns; j++) {
        const corners = [[i, j], [i, j + 1], [i + 1, j + 1], [i + 1, j]];
        const heights = corners.map(([a, b]) => z[a][b]);
        if (heights.includes(null)) continue; // a gap
        const points = corners.map(([a, b], n) =>
          place((2 * b) / (columns - 1) - 1, (2 * a) / (rows - 1) - 1, heights[n]));
        const mean = (values) => values.reduce((sum, value) => sum + value, 0) / 4;
        facets.push({ points, away: mean(points.map((point) => point[2])), height: mean(heights) });
      }
    }
    facets.sort((one, other) => other.away - one.away);

    pen.clearRect(0, 0, width, height);
    pen.font = (width < 420 ? 11 : 12.5) + "px system-ui, sans-serif";
    pen.textBaseline = "middle";
    pen.lineWidth = 1;
    pen.strokeStyle = named("rule");
    const floor = [[-1, -1], [1, -1], [1, 1], [-1, 1]].map(([x, y]) => place(x, y, 0));
    path([...floor, floor[0]]);
    pen.stroke();
    pen.lineWidth = 0.5;
    for (const facet of facets) {
      path(facet.points);
      pen.closePath();
      pen.fillStyle = shade(facet.height);
      pen.strokeStyle = named("quiet");
      pen.fill();
      pen.stroke();
    }
    // The height's scale stands at the left, on the screen; the other two are named at the edges that are in front.
    pen.strokeStyle = pen.fillStyle = named("quiet");
    const [low, high] = [0, 1].map((h) => height / 2 - unit * (2 * h - 1) * flat * Math.cos(tilt));
    path([[8, low], [8, high]]);
    pen.stroke();
    for (const [h, words] of ticks.z) {
      const at = low + (high - low) * h;
      path([[8, at], [13, at]]);
      pen.stroke();
      text(words, [17, at], "left");
    }
    text(names.z, [4, high - 16], "left");
    const near = (one, other) => (place(...one)[1] > place(...other)[1] ? one : other);
    const below = ([x, y]) => [Math.min(width - 4, Math.max(4, x)), Math.min(height - 8, y + 15)];
    const side = ([x]) => (x < width / 2 - 0.3 * unit ? "right" : x > width / 2 + 0.3 * unit ? "left" : "center");
    const edgeY = near([0, -1, 0], [0, 1, 0])[1];
    const edgeX = near([-1, 0, 0], [1, 0, 0])[0];
    const words = [
      [names.x, 0, edgeY * 1.12], [names.y, edgeX * 1.12, 0],
      [ticks.x[0], -0.8, edgeY * 1.12], [ticks.x[1], 0.8, edgeY * 1.12],
      [ticks.y[0], edgeX * 1.12, -0.8], [ticks.y[1], edgeX * 1.12, 0.8],
    ];
    for (const [what, x, y] of words) {
      const at = below(place(x, y, 0));
      text(what, at, side(at));
    }
  };

  for (const source of document.querySelectorAll("script.relief-data")) {
    const canvas = document.getElementById(source.dataset.plot);
    const slider = document.getElementById(source.dataset.plot + "-slider");
    let from = null;
    slider.addEventListener("input", () => draw(source));
    canvas.addEventListener("pointerdown", (event) => {
      from = event.clientX;
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (from === null) return;
      slider.value = (Number(slider.value) + 360 - Math.round((event.clientX - from) / 2)) % 360;
      from = event.clientX;
      slider.dispatchEvent(new Event("input"));
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (from = null));
    new ResizeObserver(() => draw(source)).observe(canvas);
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(source));
    draw(source);
  }
})();
