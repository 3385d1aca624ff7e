"use strict";
// Sends a photo to the server that the page came from, and shows the classes and the heat map that come back.
(() => {
  // The ends of the scale cividis: navy and yellow, which colour-blind readers tell apart, on photos of any colour.
  const [COLD, HOT] = [[0, 32, 77], [255, 233, 69]];
  const at = (id) => document.getElementById(id);
  const percent = (share) => (share >= 0.9995 && share < 1 ? "> 99.9 %" : (100 * share).toFixed(1) + " %");
  let token = ""; // in this page's memory alone
  let latest = null; // what was asked last; answers to earlier questions are left aside

  const show = (id, visible) => { at(id).hidden = !visible; };

  const complain = (text) => {
    at("error").textContent = text;
    show("error", text !== "");
    at("status").textContent = "";
  };

  const ask = async (photo) => {
    if (latest) latest.abort();
    const question = new AbortController();
    latest = question;
    complain("");
    show("answer", false);
    at("status").textContent = "Looking at " + photo.name + " ...";
    const form = new FormData();
    form.append("file", photo);
    const headers = token ? { Authorization: "Bearer " + token } : {};
    try {
      const response = await fetch("explain?top=5", { method: "POST", body: form, headers, signal: question.signal });
      const values = await response.json();
      if (question !== latest) return;
      show("ask-token", response.status === 401);
      if (response.status === 401) {
        complain(token ? "The token is wrong." : "");
        at("ask-token").onsubmit = (event) => {
          event.preventDefault();
          token = at("token").value.trim();
          ask(photo);
        };
        at("token").focus();
      } else if (!response.ok) {
        complain(values.error + "\nExpected: " + values.expected);
      } else {
        await present(photo, values);
      }
    } catch (error) {
      if (question === latest) complain("The server did not answer. Is it still running?");
    }
  };

  const present = async (photo, values) => {
    at("status").textContent = "";
    at("model").textContent = values.model;
    at("class").textContent = values.class;
    at("explained").textContent = values.class;
    at("probability").textContent = percent(values.probability);
    at("method").textContent = values.method;
    at("classes").replaceChildren(...values.top.map(row));
    await paint(values.heat_map);
    const view = at("photo");
    // The network sees the centred square of the stored square; the photo is cut and enlarged to the same.
    view.style.transform = "scale(" + 1 / values.seen + ")";
    view.onload = () => view.classList.toggle("tiny", Math.min(view.naturalWidth, view.naturalHeight) < 200);
    view.onerror = () => { // a format that the browser does not know: the server's picture of what it saw
      view.onerror = null;
      view.style.transform = "";
      view.src = values.view;
    };
    URL.revokeObjectURL(view.src);
    view.alt = photo.name;
    view.src = URL.createObjectURL(photo);
    show("answer", true);
  };

  const row = (entry) => {
    const item = document.createElement("li");
    const name = document.createElement("span");
    const share = document.createElement("span");
    const bar = document.createElement("span");
    const length = document.createElement("i");
    name.textContent = entry.class;
    share.textContent = percent(entry.probability);
    share.className = "share";
    bar.className = "bar";
    length.style.width = 100 * entry.probability + "%";
    bar.append(length);
    item.append(name, share, bar);
    return item;
  };

  // The grey of the heat map becomes a colour between the two.
  const paint = async (url) => {
    const picture = new Image();
    picture.src = url;
    await picture.decode();
    const canvas = at("heat");
    [canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight];
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(picture, 0, 0);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < pixels.data.length; i += 4) {
      const heat = pixels.data[i] / 255;
      for (let c = 0; c < 3; c++) pixels.data[i + c] = COLD[c] + heat * (HOT[c] - COLD[c]);
    }
    context.putImageData(pixels, 0, 0);
  };

  const fade = () => { at("heat").style.opacity = at("strength").value / 100; };
  at("strength").addEventListener("input", fade);
  fade();

  at("file").addEventListener("change", () => {
    if (at("file").files.length) ask(at("file").files[0]);
    at("file").value = ""; // so that the same photo can be chosen again
  });
  const over = (on) => (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", on);
  };
  document.addEventListener("dragover", over(true));
  document.addEventListener("dragleave", over(false));
  document.addEventListener("drop", (event) => {
    over(false)(event);
    if (event.dataTransfer.files.length) ask(event.dataTransfer.files[0]);
  });
})();
