// Stored searches, epoch by epoch, in a browser and without Python. No library, nothing is fetched.
"use strict";

// ---- the rule of early stopping, as `Rule` in darts_lab/methods/monitors.py; a test holds one against the other

function averages(epochs, values, rule) {
  const half = Math.floor(rule.window / 2);
  const mean = (list) => list.reduce((sum, value) => sum + value, 0) / list.length;
  if (rule.unit === "measurements")
    return [epochs, values.map((_, j) => mean(values.slice(Math.max(0, j - half), j + half + 1)))];
  const every = [];
  for (let epoch = epochs[0]; epoch <= epochs[epochs.length - 1]; epoch++) every.push(epoch);
  return [every, every.map((epoch) => mean(values.filter((_, j) => Math.abs(epochs[j] - epoch) <= half)))];  // maybe NaN
}

function stopOf(epochs, values, rule, finished) {
  if (!values.length) return null;
  const [places, means] = averages(epochs, values, rule);
  const known = means.length - (finished ? 0 : Math.floor(rule.window / 2));
  for (let j = 0; j + rule.delta < known; j++)
    if (places[j] >= rule.start && means[j] >= 0 && means[j + rule.delta] > rule.factor * means[j]) return places[j];
  return null;
}

// {stop, known}: the epoch at which to stop, and the one in which a running search knew it; null if never. `whole` says
// whether the last value is that of a finished search
function replayRule(epochs, values, rule, whole) {
  for (let count = 1; count <= values.length; count++) {
    const stop = stopOf(epochs.slice(0, count), values.slice(0, count), rule, whole && count === values.length);
    if (stop !== null) return { stop, known: epochs[count - 1] };
  }
  return null;
}

// [epochs, eigenvalues] since the last time that the search went back
function measurements(search) {
  const went = search.epochs.map((one) => one.back_to !== null);
  const since = search.epochs.slice(went.lastIndexOf(true) + 1);
  const measured = since.filter((one) => one.eigenvalue !== null);
  return [measured.map((one) => one.epoch), measured.map((one) => one.eigenvalue)];
}

// ---- drawing

const SVG = "http://www.w3.org/2000/svg";

function draw(parent, name, attributes = {}, text = null) {
  const element = document.createElementNS(name === "div" || name === "span" ? "http://www.w3.org/1999/xhtml" : SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== null) element.textContent = text;
  parent.appendChild(element);
  return element;
}

function canvas(parent, title, width, height) {
  const figure = draw(parent, "div", { class: "panel" });
  draw(figure, "div", { class: "title" }, title);
  return draw(figure, "svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });
}

const styleOf = (operation) => STYLES[operation] || { colour: "#222222", dash: "", short: operation };
const percent = (share) => (100 * share).toFixed(1) + " %";

// one cell: the kept edges, the others faintly, as wide as the mixing weights where these are known
function drawCell(parent, search, record, kind) {
  const width = 460, height = 230, svg = canvas(parent, `${kind} cell`, width, height);
  const inputs = search.inputs, nodes = search.nodes, step = (width - 90) / (nodes + 1);
  const heights = [70, 150, 35, 185], places = [[40, 70], [40, 150]].slice(0, inputs);
  if (inputs === 1) places[0] = [40, 110];
  for (let node = 0; node < nodes; node++) places.push([40 + step * (node + 1), heights[node % 4]]);
  const out = [width - 40, 110];
  const kept = new Map(record.cells[kind].map(([source, node, name]) => [`${source} ${node}`, name]));
  const weights = record.mixing ? record.mixing[search.kinds.indexOf(kind)] : null;
  const arrow = (from, to, operation, thick, faint) => {
    const [x1, y1] = from, [x2, y2] = to, length = Math.hypot(x2 - x1, y2 - y1) || 1, bend = 0.12 * length;
    const mx = (x1 + x2) / 2 + (bend * (y2 - y1)) / length, my = (y1 + y2) / 2 - (bend * (x2 - x1)) / length;
    const style = operation ? styleOf(operation) : { colour: "#999999", dash: "" };
    const path = draw(svg, "path", {
      d: `M ${x1} ${y1} Q ${mx} ${my} ${x2} ${y2}`, fill: "none", stroke: style.colour, "stroke-width": thick,
      "stroke-dasharray": style.dash, opacity: faint ? 0.2 : 1, class: faint ? "dropped" : operation ? "kept" : "out",
    });
    if (operation) draw(path, "title", {}, operation + (faint ? ", not kept" : ""));
  };
  places.slice(inputs).forEach((place) => arrow(place, out, null, 0.8, false));
  search.edges.forEach(([source, node], edge) => {
    const name = kept.get(`${source} ${node}`), names = search.operations[kind][edge];
    if (name) return arrow(places[source], places[node + inputs], name, weights ? 1 + 4 * weights[edge][names.indexOf(name)] : 2.5, false);
    if (!weights) return;
    const real = names.map((_, j) => j).filter((j) => names[j] !== "none");
    const best = real.reduce((a, b) => (weights[edge][b] > weights[edge][a] ? b : a));
    arrow(places[source], places[node + inputs], names[best], 1 + 4 * weights[edge][best], true);
  });
  [...places, out].forEach(([x, y], state) => {
    const name = state === places.length ? "out" : state < inputs ? (inputs === 1 ? "in" : ["c(k-2)", "c(k-1)"][state]) : String(state);
    draw(svg, "circle", { cx: x, cy: y, r: name.length > 3 ? 22 : 14, class: "state" });
    draw(svg, "text", { x, y: y + 4, "text-anchor": "middle" }, name);
  });
  const names = [...new Set(kept.values())].sort();
  names.forEach((name, j) => {
    const x = 10 + (j % 3) * 150, y = height - 22 + 14 * Math.floor(j / 3), style = styleOf(name);
    draw(svg, "line", { x1: x, x2: x + 24, y1: y, y2: y, stroke: style.colour, "stroke-width": 3, "stroke-dasharray": style.dash });
    draw(svg, "text", { x: x + 28, y: y + 4 }, name);
  });
}

// the mixing weights of one cell: a column for each edge, filled by its operations' shares
function drawMixing(parent, search, record, kind) {
  const width = 460, height = 200, svg = canvas(parent, `mixing weights, ${kind} cell`, width, height);
  if (!record.mixing) return draw(svg, "text", { x: width / 2, y: height / 2, "text-anchor": "middle" }, "not in this log");
  const kept = new Set(record.cells[kind].map(([source, node]) => `${source} ${node}`));
  const column = (width - 20) / search.edges.length;
  search.edges.forEach(([source, node], edge) => {
    const x = 10 + edge * column, keeps = kept.has(`${source} ${node}`);
    let y = 10;
    search.operations[kind][edge].forEach((name, j) => {
      const share = record.mixing[search.kinds.indexOf(kind)][edge][j], tall = 160 * share;
      const box = draw(svg, "rect", {
        x: x + 1, y, width: column - 2, height: tall, fill: styleOf(name).colour, opacity: keeps ? 0.95 : 0.35, class: "share",
      });
      draw(box, "title", {}, `${name}: ${share.toFixed(3)}`);
      if (tall > 13 && column > 44)
        draw(svg, "text", { x: x + column / 2, y: y + tall / 2 + 4, "text-anchor": "middle", class: "on" }, styleOf(name).short);
      y += tall;
    });
    draw(svg, "text", { x: x + column / 2, y: 186, "text-anchor": "middle", class: keeps ? "bold" : "" }, `${source}→${node + search.inputs}`);
  });
}

// a curve over epochs; `lines` are {name, colour, dash, points: [[epoch, value]]}; a click chooses an epoch
function drawCurves(parent, title, last, lines, marks, choose) {
  const width = 460, height = 230, left = 44, bottom = 200, svg = canvas(parent, title, width, height);
  const values = lines.flatMap((line) => line.points.map((point) => point[1]));
  const top = Math.max(...values, 1e-9), x = (epoch) => left + ((width - left - 12) * epoch) / Math.max(last, 1);
  const y = (value) => bottom - ((bottom - 30) * Math.max(value, 0)) / top;
  draw(svg, "path", { d: `M ${left} 26 V ${bottom} H ${width - 8}`, fill: "none", class: "axis" });
  for (const share of [0, 0.5, 1]) draw(svg, "text", { x: left - 4, y: y(share * top) + 4, "text-anchor": "end" }, (share * top).toPrecision(2));
  for (let epoch = 0; epoch <= last; epoch += last > 20 ? 10 : 2)
    draw(svg, "text", { x: x(epoch), y: bottom + 14, "text-anchor": "middle" }, String(epoch));
  draw(svg, "text", { x: width / 2, y: height - 2, "text-anchor": "middle" }, "epoch");
  for (const { epoch, name, colour } of marks) {
    draw(svg, "line", { x1: x(epoch), x2: x(epoch), y1: 26, y2: bottom, stroke: colour, "stroke-dasharray": "4 3", class: "mark" });
    draw(svg, "text", { x: x(epoch) + 3, y: 34, style: `fill: ${colour}` }, name);
  }
  lines.forEach((line, j) => {
    const d = line.points.map(([epoch, value], i) => `${i ? "L" : "M"} ${x(epoch)} ${y(value)}`).join(" ");
    draw(svg, "path", { d, fill: "none", stroke: line.colour, "stroke-width": 2, "stroke-dasharray": line.dash || "" });
    draw(svg, "text", { x: left + 6 + 80 * j, y: 14, style: `fill: ${line.colour}; font-weight: bold` }, line.name);
  });
  svg.addEventListener("click", (event) => {
    const box = svg.getBoundingClientRect(), place = ((event.clientX - box.left) / box.width) * width;
    choose(Math.min(last, Math.max(0, Math.round(((place - left) / (width - left - 12)) * last))));
  });
}

// ---- the page

function start(root) {
  root.innerHTML = `
    <p><label>search <select id="search"></select></label> <span id="about"></span></p>
    <p><button id="play" type="button">Play</button>
      <label>epoch <input id="epoch" type="range" min="0" step="1" value="0"></label> <output id="now"></output></p>
    <p id="rule">stop where an average rises:
      <label>window <input id="window" type="range" min="1" max="15" step="2" value="5"> <output></output></label>
      <label>factor <input id="factor" type="range" min="1.01" max="3" step="0.01" value="1.3"> <output></output></label>
      <label>delta <input id="delta" type="range" min="1" max="12" step="1" value="4"> <output></output></label>
      <label>from epoch <input id="start" type="range" min="0" max="40" step="1" value="10"> <output></output></label>
      <label>counted in <select id="unit"><option>measurements</option><option>epochs</option></select></label></p>
    <p id="verdict" role="status"></p>
    <div id="panels"></div>`;
  const get = (id) => root.querySelector("#" + id);
  SEARCHES.forEach((search, j) => get("search").add(new Option(search.title, j)));
  let timer = null;

  function show() {
    const search = SEARCHES[get("search").value], records = search.epochs, last = records.length - 1;
    get("epoch").max = last;
    const record = records[Math.min(get("epoch").value, last)];
    const rule = { unit: get("unit").value };
    for (const name of ["window", "factor", "delta", "start"]) {
      rule[name] = Number(get(name).value);
      get(name).nextElementSibling.textContent = get(name).value;
    }
    const [epochs, values] = measurements(search), found = replayRule(epochs, values, rule, search.whole);
    get("about").textContent = search.about;
    const named = record.eigenvalue === null ? "" : `, dominant eigenvalue ${record.eigenvalue.toPrecision(3)}`;
    get("now").textContent = `${record.epoch}: one-shot error ${percent(record.valid_error)}${named}`;
    get("verdict").textContent = found
      ? `The rule stops at epoch ${found.stop}; a running search knows it after epoch ${found.known}.`
      : "The rule never stops this search.";
    const panels = get("panels"), choose = (place) => ((get("epoch").value = place), show());
    panels.textContent = "";
    const here = { epoch: records.indexOf(record), name: "", colour: "#888888" };
    const line = (name, colour, key, dash) => ({ name, colour, dash, points: records.map((one, j) => [j, one[key]]).filter((point) => point[1] !== null) });
    for (const kind of search.kinds) {
      drawCell(panels, search, record, kind);
      drawMixing(panels, search, record, kind);
    }
    const place = (epoch) => records.map((one) => one.epoch).lastIndexOf(epoch);  // after going back, epochs come twice
    const [places, means] = values.length ? averages(epochs, values, rule) : [[], []];
    const average = { name: "average", colour: "#ff5e02", dash: "6 3", points: places.map((epoch, j) => [epoch, means[j]]).filter(([, mean]) => !isNaN(mean)) };
    if (records.some((one) => one.back_to !== null)) average.points = average.points.map(([epoch, value]) => [place(epoch), value]).filter(([at]) => at >= 0);
    const marks = [here, ...(found ? [{ epoch: place(found.stop), name: "stop", colour: "#c91f16" }] : [])];
    drawCurves(panels, "dominant eigenvalue of the validation loss", last, [line("measured", "#1845fb", "eigenvalue"), average], marks, choose);
    drawCurves(panels, "error", last, [line("one-shot", "#ff5e02", "valid_error"), line("training", "#1845fb", "train_error", "6 3")], [here], choose);
  }

  function play() {
    const search = SEARCHES[get("search").value], next = Number(get("epoch").value) + 1;
    if (next >= search.epochs.length) return stop();
    get("epoch").value = next;
    show();
  }

  const stop = () => (clearInterval(timer), (timer = null), (get("play").textContent = "Play"));
  get("play").addEventListener("click", () => {
    if (timer) return stop();
    if (Number(get("epoch").value) >= Number(get("epoch").max)) get("epoch").value = 0;
    timer = setInterval(play, 250);
    get("play").textContent = "Pause";
  });
  get("search").addEventListener("change", () => (stop(), show(), (get("epoch").value = get("epoch").max), show()));
  for (const id of ["epoch", "window", "factor", "delta", "start", "unit"]) get(id).addEventListener("input", show);
  show();
  get("epoch").value = get("epoch").max;
  show();
}

document.addEventListener("DOMContentLoaded", () => start(document.getElementById("replay")));
