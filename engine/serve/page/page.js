// The page of `imgtrain serve`: a picture goes to v1/predict, then to v1/explain; what comes back is shown.
"use strict";

const byId = (id) => document.getElementById(id);
let current = null; // The picture on show, as a Blob.
let number = 0; // Of the picture: answers to an earlier one are dropped.
let pictureUrl = null;
let heatUrl = null;

const say = (text, bad = false) => {
  byId("status").textContent = text;
  byId("status").classList.toggle("bad", bad);
};

const percent = (probability) => (100 * probability).toFixed(probability < 0.0995 ? 2 : 1) + " %";

async function problemOf(answer) {
  try {
    return (await answer.json()).detail || answer.statusText;
  } catch {
    return answer.statusText || "status " + answer.status;
  }
}

async function post(path, blob) {
  const type = blob.type.startsWith("image/") ? blob.type : "application/octet-stream";
  const answer = await fetch(path, { method: "POST", headers: { "Content-Type": type }, body: blob });
  if (!answer.ok) throw new Error(await problemOf(answer));
  return answer;
}

function showGuesses(guesses) {
  const rows = guesses.map((guess) => {
    const row = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    button.title = "Show what speaks for this";
    const text = document.createElement("span");
    text.className = "guess-text";
    const name = document.createElement("span");
    name.textContent = guess.name;
    const share = document.createElement("span");
    share.textContent = percent(guess.probability);
    text.append(name, share);
    const track = document.createElement("span");
    track.className = "track";
    const bar = document.createElement("span");
    bar.className = "bar";
    bar.style.width = 100 * guess.probability + "%";
    track.append(bar);
    button.append(text, track);
    button.addEventListener("click", () => explain(guess, button));
    row.append(button);
    return row;
  });
  byId("guesses").replaceChildren(...rows);
}

async function explain(guess, button) {
  const mine = number;
  for (const other of byId("guesses").querySelectorAll("button")) other.setAttribute("aria-pressed", other === button);
  byId("heat-caption").textContent = "Looking …";
  try {
    const answer = await post("v1/explain?class=" + guess.index, current);
    const picture = await answer.blob();
    if (mine !== number || button.getAttribute("aria-pressed") !== "true") return;
    if (heatUrl) URL.revokeObjectURL(heatUrl);
    heatUrl = URL.createObjectURL(picture);
    byId("heat").src = heatUrl;
    byId("heat").alt = "Grad-CAM: the parts of the picture that speak for " + guess.name;
    byId("heat-caption").textContent = "What speaks for " + guess.name + " (Grad-CAM)";
  } catch (failure) {
    if (mine === number) byId("heat-caption").textContent = failure.message;
  }
}

async function look(blob) {
  const mine = ++number;
  current = blob;
  if (pictureUrl) URL.revokeObjectURL(pictureUrl);
  pictureUrl = URL.createObjectURL(blob);
  byId("picture").src = pictureUrl;
  byId("heat").removeAttribute("src");
  byId("heat-caption").textContent = " ";
  say("Looking …");
  const start = performance.now();
  try {
    const answer = await (await post("v1/predict", blob)).json();
    if (mine !== number) return;
    const guesses = answer.predictions[0].guesses;
    showGuesses(guesses);
    byId("result").hidden = false;
    const times = answer.milliseconds;
    byId("times").textContent =
      `${(performance.now() - start).toFixed(0)} ms here; on the server ${times.total.toFixed(1)} ms: ` +
      `decoding ${times.decode.toFixed(1)}, waiting ${times.wait.toFixed(1)}, model ${times.model.toFixed(1)}`;
    say("Most likely: " + guesses[0].name + ", " + percent(guesses[0].probability));
    explain(guesses[0], byId("guesses").querySelector("button"));
  } catch (failure) {
    if (mine !== number) return;
    byId("result").hidden = true;
    say(failure.message, true);
  }
}

function take(files) {
  const file = [...files].find((f) => f.type.startsWith("image/")) || files[0];
  if (file) look(file);
}

const drop = byId("drop");
for (const kind of ["dragenter", "dragover"])
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) drop.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  take(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => take(event.clipboardData.files));
byId("choose").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", (event) => {
  take(event.target.files);
  event.target.value = "";
});

async function begin() {
  const model = await (await fetch("v1/model")).json();
  byId("model").textContent = `${model.model} · ${model.classes} classes · ${model.size} × ${model.size} pixels · ${model.weights}`;
  const buttons = model.examples.map((example) => {
    const button = document.createElement("button");
    button.type = "button";
    const image = document.createElement("img");
    image.src = example.path;
    image.alt = example.name;
    image.loading = "lazy";
    button.title = example.name;
    button.append(image);
    button.addEventListener("click", async () => look(await (await fetch(example.path)).blob()));
    return button;
  });
  byId("thumbnails").replaceChildren(...buttons);
  byId("examples").hidden = buttons.length === 0;
}
begin().catch((failure) => say(failure.message, true));
