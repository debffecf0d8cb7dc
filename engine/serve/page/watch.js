// The page of `imgtrain watch`: polls v1/run and draws what it says, with Chart.js.
"use strict";

const kPollMs = 2000;
const byId = (id) => document.getElementById(id);
const dark = matchMedia("(prefers-color-scheme: dark)");
// Okabe and Ito's palette, darkened or lightened to 3:1 on the panel: told apart without red and green, and by dashes too.
const palette = () =>
  dark.matches
    ? { first: "#62b0f5", second: "#f5a742", third: "#5fd3b3", text: "#a3b1bf", grid: "#33414e" }
    : { first: "#0b63b5", second: "#a85400", third: "#007a5c", text: "#52606d", grid: "#d9dfe5" };

const fixed = (value, digits) => Number(value).toLocaleString("en", { maximumFractionDigits: digits, minimumFractionDigits: digits });
const rounded = (value) => Math.round(value).toLocaleString("en");

function time(seconds) {
  if (!(seconds >= 0)) return "–";
  const days = Math.floor(seconds / 86400), hours = Math.floor(seconds / 3600) % 24;
  const minutes = Math.floor(seconds / 60) % 60, rest = Math.floor(seconds % 60);
  const two = (value) => String(value).padStart(2, "0");
  if (days > 0) return `${days} d ${hours} h`;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

const memory = (bytes) => fixed(bytes / 2 ** 30, 1) + " GiB";
const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB");

// What each chart shows: [label, curve of v1/run, colour, dashes].
const kCharts = {
  loss: {
    x: "step",
    steep: true,
    sets: [["training, epoch so far", "running_loss", "third", [2, 3]], ["training", "train_loss", "first", []], ["validation", "val_loss", "second", [7, 4]]],
  },
  accuracy: {
    x: "step",
    sets: [["training top-1", "train_top1", "first", []], ["validation top-1", "val_top1", "second", [7, 4]], ["validation top-5", "val_top5", "third", [2, 3]]],
  },
  pace: { x: "step", zero: true, sets: [["images a second", "images_per_second", "first", []]] },
  rate: { x: "step", zero: true, sets: [["learning rate", "learning_rate", "first", []]] },
  machine: { x: "time", zero: true, top: 100, sets: [["all cores", "cpu", "first", []], ["GPUs, mean", "gpu", "second", [7, 4]]] },
};
const charts = {};

function draw(id, curves) {
  const plan = kCharts[id];
  const colours = palette();
  const datasets = plan.sets
    .filter(([, curve]) => curves[curve].at.length > 0)
    .map(([label, curve, colour, dash]) => ({
      label,
      data: curves[curve].at.map((at, i) => ({ x: at, y: curves[curve].value[i] })),
      borderColor: colours[colour],
      backgroundColor: colours[colour],
      borderDash: dash,
      borderWidth: 2,
      pointRadius: curves[curve].at.length < 30 ? 2.5 : 0,
      tension: 0,
    }));
  byId(id).closest(".chart").hidden = datasets.length === 0;
  const values = datasets.flatMap((set) => set.data.map((point) => point.y));
  // A loss that began very high would hide everything after it.
  const steep = Boolean(plan.steep) && Math.min(...values) > 0 && Math.max(...values) > 30 * Math.min(...values);
  const summary = datasets.map((set) => `${set.label} ${Number(set.data[set.data.length - 1].y.toPrecision(4))}`).join(", ");
  byId(id).setAttribute("aria-label", datasets.length ? "Latest: " + summary : "Nothing yet");
  const axis = (more) => ({ ticks: { color: colours.text, maxTicksLimit: 7, ...more.ticks }, grid: { color: colours.grid }, ...more.axis });
  const options = {
    animation: false,
    maintainAspectRatio: false,
    parsing: false,
    normalized: true,
    interaction: { mode: "nearest", axis: "x", intersect: false },
    scales: {
      x: axis({ ticks: plan.x === "time" ? { callback: (value) => clock(value), maxTicksLimit: 4, maxRotation: 0 } : { maxRotation: 0 },
        axis: { type: "linear", title: { display: true, text: plan.x, color: colours.text } } }),
      y: axis({ axis: { type: steep ? "logarithmic" : "linear", beginAtZero: Boolean(plan.zero), suggestedMax: plan.top } }),
    },
    plugins: {
      legend: { display: plan.sets.length > 1, labels: { color: colours.text, boxWidth: 24, boxHeight: 0 } },
      tooltip: { callbacks: { title: (items) => (items.length ? (plan.x === "time" ? clock(items[0].parsed.x) : "step " + rounded(items[0].parsed.x)) : "") } },
    },
  };
  if (charts[id]) {
    charts[id].data.datasets = datasets;
    charts[id].options = options;
    charts[id].update("none");
  } else {
    charts[id] = new Chart(byId(id), { type: "line", data: { datasets }, options });
  }
}

const kStates = {
  waiting: "Nothing was trained yet.",
  running: "Training.",
  silent: "No word for more than three minutes: the run may have been killed.",
  stopped: "Stopped with a checkpoint saved: the same command goes on.",
  broken: "Ended: the loss was no number any more.",
  finished: "Finished.",
};

function facts(run) {
  const last = (curve) => (curve.value.length ? curve.value[curve.value.length - 1] : null);
  const rows = [];
  rows.push(["Step", rounded(run.step), "of " + rounded(run.total_steps) + (run.resumes ? `, resumed ${run.resumes} ×` : "")]);
  rows.push(["Epoch", rounded(run.epoch), "of " + run.duration.replace(/ep$/, "").replace(/(\d)ba$/, "$1 steps")]);
  const top1 = run.result ? run.result.accuracy : last(run.curves.val_top1);
  const top5 = run.result ? run.result.accuracy_top5 : last(run.curves.val_top5);
  rows.push(["Validation top-1", top1 === null ? "–" : fixed(top1, 2) + " %", top5 === null ? "" : "top-5 " + fixed(top5, 2) + " %"]);
  const loss = last(run.curves.running_loss) ?? last(run.curves.train_loss);
  rows.push(["Training loss", loss === null ? "–" : fixed(loss, 4), "mean of the epoch so far"]);
  rows.push(["Images a second", run.images_per_second === null ? "–" : rounded(run.images_per_second), "batch of " + rounded(run.batch)]);
  if (run.state === "running") rows.push(["Still to go", run.eta_seconds === null ? "–" : time(run.eta_seconds), ""]);
  rows.push(["Time so far", time(run.active_seconds), ""]);
  if (run.dollars)
    rows.push(["Dollars so far", "$" + fixed(run.dollars.so_far, 2), `$${fixed(run.dollars.per_hour, 2)} an hour` + (run.state === "running" ? `, $${fixed(run.dollars.in_all, 2)} in all` : "")]);
  if (run.machine.cpu !== undefined) rows.push(["Cores", rounded(100 * run.machine.cpu) + " %", memory(run.machine.memory_bytes) + " of memory"]);
  (run.machine.gpus || []).forEach((gpu, i) =>
    rows.push([`GPU ${i}`, rounded(100 * gpu.use) + " %", `${memory(gpu.memory_bytes)} of ${memory(gpu.memory_total_bytes)}`]));
  const cells = rows.map(([term, value, small]) => {
    const cell = document.createElement("div");
    const name = document.createElement("dt");
    name.textContent = term;
    const what = document.createElement("dd");
    what.textContent = value;
    if (small) {
      const more = document.createElement("small");
      more.textContent = small;
      what.append(more);
    }
    cell.append(name, what);
    return cell;
  });
  byId("facts").replaceChildren(...cells);
}

const kStages = [
  ["wait", "waiting for images", true], ["forward_backward", "forward and backward", true], ["exchange", "gradient exchange", true],
  ["optimizer", "optimizer", true], ["read", "reading, beside it", false], ["decode", "decoding, beside it, all threads", false], ["copy", "copying to the device", false],
];

function stages(run) {
  const sums = run.stages.stages;
  if (!sums || !sums.steps) {
    byId("bottleneck").textContent = "Known at the end of the first epoch.";
    return;
  }
  byId("stages-title").textContent = `Where a step's time goes, epoch ${run.stages.epoch}`;
  const step = kStages.filter(([, , own]) => own).reduce((sum, [key]) => sum + (sums[key] || 0), 0);
  const rows = kStages.filter(([key]) => sums[key] !== undefined).map(([key, label]) => {
    const row = document.createElement("li");
    const words = document.createElement("span");
    words.className = "guess-text";
    const name = document.createElement("span");
    name.textContent = label;
    const value = document.createElement("span");
    value.textContent = fixed((1000 * sums[key]) / sums.steps, 1) + " ms";
    words.append(name, value);
    const track = document.createElement("span");
    track.className = "track";
    const bar = document.createElement("span");
    bar.className = "bar";
    bar.style.width = Math.min(100, step > 0 ? (100 * sums[key]) / step : 0) + "%";
    track.append(bar);
    row.append(words, track);
    return row;
  });
  byId("stages").replaceChildren(...rows);
  byId("bottleneck").textContent = run.stages.bottleneck || "";
}

let seen = "";
let runShown = null;

function show(run) {
  runShown = run;
  document.title = run.name + " · imgtrain watch";
  byId("name").textContent = run.name;
  byId("about").textContent = [run.model, run.recipe && "recipe " + run.recipe, run.device, "data set " + run.dataset_id, run.created_by].filter(Boolean).join(" · ");
  if (seen !== run.state) byId("status").textContent = kStates[run.state] || run.state;
  seen = run.state;
  const share = run.total_steps > 0 ? (100 * run.step) / run.total_steps : 0;
  byId("bar").style.width = share + "%";
  byId("progress").setAttribute("aria-valuenow", share.toFixed(0));
  facts(run);
  for (const id of Object.keys(kCharts)) draw(id, run.curves);
  stages(run);
  const log = byId("log");
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 8;
  log.textContent = run.lines.map((line) => clock(line.time) + "  " + line.text).join("\n");
  if (atEnd) log.scrollTop = log.scrollHeight;
}

async function poll() {
  let wait = kPollMs;
  try {
    const answer = await fetch("v1/run");
    if (!answer.ok) throw new Error((await answer.json()).detail);
    const run = await answer.json();
    show(run);
    byId("status").classList.remove("bad");
    if (run.state === "finished") wait = 10 * kPollMs;
  } catch (failure) {
    seen = "";
    byId("status").textContent = "No answer: " + failure.message;
    byId("status").classList.add("bad");
  }
  setTimeout(poll, wait);
}
dark.addEventListener("change", () => runShown && show(runShown));
poll();
