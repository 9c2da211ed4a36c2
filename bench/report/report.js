// Draws the report from the three pieces of data in the page: the record, the table's rows, pictures of regions.
"use strict";
const data = id => JSON.parse(document.getElementById(id).textContent);
const record = data("record"), table = data("table"), pictures = data("pictures");
const machine = record.machine || {};

// ---- Small helpers ----

function make(tag, attributes, ...inside) {
  const names = ["svg", "g", "path", "line", "rect", "text", "circle", "title"];
  const space = names.includes(tag) ? "http://www.w3.org/2000/svg" : "http://www.w3.org/1999/xhtml";
  const element = document.createElementNS(space, tag);
  for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
  element.append(...inside);
  return element;
}
function median(values) {
  const sorted = values.filter(v => v !== null).sort((a, b) => a - b), middle = (sorted.length - 1) / 2;
  return sorted.length ? (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2 : undefined;
}
function scaled(value, step, units) {
  let unit = 0;
  while (unit + 1 < units.length && Math.abs(value) >= step) { value /= step; unit++; }
  return (value >= 100 ? Math.round(value) : +value.toPrecision(2)) + " " + units[unit];
}
const time = ns => scaled(ns, 1000, ["ns", "µs", "ms", "s"]);
const times = ratio => (ratio >= 100 ? Math.round(ratio) : +ratio.toPrecision(2)) + "×";

const series = new Map();
for (const each of record.series) series.set([each.system, each.peer, each.benchmark, each.figure].join("|"), each.values);
const figure = (system, peer, benchmark, name) => median(series.get([system, peer, benchmark, name].join("|")) || []);

function chart(section, title, legend, drawing) {
  const entries = legend.map(([name, color]) => {
    const key = make("i");
    key.style.background = `var(--${color})`;
    return make("span", {}, key, name);
  });
  const [first, second] = title.split("; ");
  const caption = make("figcaption", {}, first, ...(second ? [make("small", {}, second)] : []));
  const box = make("figure", {}, caption, ...(entries.length ? [make("div", {class: "legend"}, ...entries)] : []), drawing);
  document.querySelector(`#${section} .charts`).append(box);
}

// ---- Bars of ratios ----

// On a narrow screen a row's name stands above its bar, so that it can be read.
const narrow = matchMedia("(max-width: 640px)");

function bars(rows) {
  const width = narrow.matches ? 350 : 560, step = narrow.matches ? 38 : 26, label = narrow.matches ? 0 : 268, right = 52;
  const height = rows.length * step + 22, above = narrow.matches ? 18 : 4;
  const spread = row => 1 + Math.min(row.spread || 0, 0.6);
  const low = Math.min(0.5, ...rows.map(r => r.ratio / spread(r))), high = Math.max(4, ...rows.map(r => r.ratio * spread(r)));
  const x = ratio => label + (width - label - right) * Math.log(Math.min(Math.max(ratio, low), high) / low) / Math.log(high / low);
  const svg = make("svg", {viewBox: `0 0 ${width} ${height}`, role: "img"});
  for (let decade = -3; decade <= 4; decade++) {
    const tick = 10 ** decade;
    if (tick < low || tick > high) continue;
    svg.append(make("line", {x1: x(tick), x2: x(tick), y1: 0, y2: height - 18, stroke: decade ? "var(--grid)" : "var(--soft)"}));
    svg.append(make("text", {x: x(tick), y: height - 4, "text-anchor": "middle"}, times(tick)));
  }
  rows.forEach((row, i) => {
    const y = i * step + above, from = Math.min(x(1), x(row.ratio)), to = Math.max(x(1), x(row.ratio));
    const color = row.ratio >= 1 ? "var(--s0)" : "var(--s1)", noise = spread(row);
    const name = row.work.length > 42 ? row.work.slice(0, 41) + "…" : row.work;
    svg.append(narrow.matches ? make("text", {x: 0, y: y - 4, class: "strong name"}, name)
      : make("text", {x: label - 10, y: y + 13, "text-anchor": "end", class: "strong"}, name));
    svg.append(make("rect", {x: from, y, width: Math.max(1.5, to - from), height: 16, rx: 2, fill: color},
      make("title", {}, `${row.work}: ${times(row.ratio)} against ${row.against} (${row.verdict})`)));
    svg.append(make("line", {x1: Math.max(label, x(row.ratio / noise)), x2: x(row.ratio * noise), y1: y + 8, y2: y + 8,
      stroke: "var(--ink)", "stroke-width": 1.2}));
    svg.append(make("text", {x: Math.max(to, x(row.ratio * noise)) + 5, y: y + 13, class: "strong"}, times(row.ratio)));
  });
  return svg;
}

function drawRatios() {
  const wanted = ["Virtual memory on Linux", "Virtual memory on Windows (Wine)", "IHostMalloc through the vtable (Wine)",
    "Patterns on Linux", "A .NET program on a CLR, Linux", "Recorded hosts, replayed on Linux", "Sizes and other calls, Linux",
    "Sizes and other calls, Wine", "Peak resident memory in them", "realloc and aligned_alloc on Linux"];
  for (const section of wanted) {
    const rows = table.rows.filter(row => row.section === section && row.ratio > 0);
    if (rows.length) chart("ratios", section.replace("Peak resident memory in them", "Peak resident memory in the patterns"), [], bars(rows));
  }
  const mallocs = table.rows.filter(row => row.section.startsWith("malloc + free") && row.ratio > 0);
  if (mallocs.length) chart("ratios", "malloc + free on Linux: against the best peer of each row", [], bars(mallocs));
}

// ---- Lines ----

function lines(curves, axes) {
  const width = axes.width || 420, height = axes.height || 230, left = 52, right = 10, top = 8, bottom = 24;
  const place = (value, range, from, to, log) => from + (to - from) *
    (log ? Math.log(value / range[0]) / Math.log(range[1] / range[0]) : (value - range[0]) / (range[1] - range[0]));
  const x = value => place(value, axes.x.range, left, width - right, axes.x.log);
  const y = value => place(value, axes.y.range, height - bottom, top, axes.y.log);
  const svg = make("svg", {viewBox: `0 0 ${width} ${height}`, role: "img"});
  for (const [value, text] of axes.y.ticks) {
    svg.append(make("line", {x1: left, x2: width - right, y1: y(value), y2: y(value), stroke: "var(--grid)"}));
    svg.append(make("text", {x: left - 6, y: y(value) + 4, "text-anchor": "end"}, text));
  }
  axes.x.ticks.forEach(([value, text], i) => {
    const anchor = i + 1 === axes.x.ticks.length ? "end" : "middle";
    svg.append(make("text", {x: anchor === "end" ? width - right : x(value), y: height - 5, "text-anchor": anchor}, text));
  });
  for (const curve of curves) {
    const path = curve.points.map(([px, py], i) => `${i ? "L" : "M"}${x(px).toFixed(1)} ${y(py).toFixed(1)}`).join("");
    svg.append(make("path", {d: path, fill: "none", stroke: `var(--${curve.color})`, "stroke-width": 2, "stroke-linejoin": "round"},
      make("title", {}, curve.name)));
    for (const [px, py, say] of curve.points) {
      svg.append(make("circle", {cx: x(px), cy: y(py), r: 2.6, fill: `var(--${curve.color})`},
        make("title", {}, `${curve.name}: ${say}`)));
    }
  }
  return svg;
}

const shares = [["p50", 0.5], ["p75", 0.75], ["p90", 0.9], ["p95", 0.95], ["p99", 0.99], ["p99.5", 0.995], ["p99.9", 0.999],
  ["p99.95", 0.9995], ["p99.99", 0.9999]];

function latencyCurve(name, color, system, peer, benchmark) {
  const points = [];
  for (const [text, share] of shares) {
    const ns = figure(system, peer, benchmark, text + "_ns");
    if (ns !== undefined) points.push([1 / (1 - share), Math.max(ns, 1), `${text} ${time(ns)}`]);
  }
  const most = figure(system, peer, benchmark, "max_ns");
  if (most !== undefined) points.push([100000, Math.max(most, 1), `longest ${time(most)}`]);
  return {name, color, points};
}

function latencyChart(title, curves) {
  const all = curves.flatMap(curve => curve.points.map(point => point[1]));
  if (!all.length) return;
  const low = 10 ** Math.floor(Math.log10(Math.min(...all))), high = 10 ** Math.ceil(Math.log10(Math.max(...all) * 1.01));
  const ticks = [];
  for (let tick = low; tick <= high * 1.001; tick *= 10) ticks.push([tick, time(tick)]);
  const present = curves.filter(curve => curve.points.length);
  chart("latency", title, present.map(curve => [curve.name, curve.color]), lines(present, {
    x: {log: true, range: [2, 100000], ticks: [[2, "50 %"], [10, "90 %"], [100, "99 %"], [1000, "99.9 %"], [10000, "99.99 %"],
      [100000, "all"]]},
    y: {log: true, range: [low, high], ticks}}));
}

const mallocs = [["hostmem", "s0"], ["glibc", "s1"], ["mimalloc", "s2"], ["jemalloc", "s3"], ["tcmalloc", "s4"]];

function drawLatency() {
  const systems = [["linux", "Linux"], ["wine", "Wine"]];
  const works = [["untouched", "64 KiB reserved and committed"], ["touched", "64 KiB, pages written"], ["give", "64 KiB released"],
    ["recommit", "64 KiB committed in place"], ["decommit", "64 KiB decommitted"]];
  const loads = [["", "alone"], [" 4", "4 threads"]];
  for (const [system, text] of systems) {
    for (const [work, what] of works) {
      for (const [suffix, load] of loads) {
        latencyChart(`${what}; ${load}, ${text}`, [["hostmem", "s0", "engine"], [system === "linux" ? "raw system calls" : "Win32 calls",
          "s1", "raw"]].map(([name, color, side]) => latencyCurve(name, color, system, "none", `latency/${work}/${side}/65536${suffix}`)));
      }
    }
  }
  for (const [work, what] of [["alloc", "malloc"], ["free", "free"]]) {
    for (const [suffix, load] of loads) {
      latencyChart(`${what}, 16 to 1,000 bytes; ${load}, Linux`, mallocs.map(([peer, color]) =>
        latencyCurve(peer, color, "linux", peer, `latency/${work}/libc${suffix}`)));
      latencyChart(`${what}, 16 to 1,000 bytes; ${load}, Wine`, [["IHostMalloc", "s0", "engine"], ["HeapAlloc", "s1", "process-heap"],
        ["mimalloc", "s2", "mimalloc"], ["msvcrt", "s3", "msvcrt"]].map(([name, color, heap]) =>
        latencyCurve(name, color, "wine", "none", `latency/${work}/${heap}${suffix}`)));
    }
  }
}

function drawResident() {
  const curves = mallocs.map(([peer, color]) => {
    const points = [];
    for (let i = 0; i < 64; i++) {
      const at = String(i).padStart(2, "0");
      const ms = figure("linux", peer, "residency/random/libc", `over_time_${at}_ms`);
      const bytes = figure("linux", peer, "residency/random/libc", `over_time_${at}_bytes`);
      if (ms !== undefined && bytes !== undefined) points.push([ms, Math.max(0, bytes), `${Math.round(bytes / 1048576)} MiB, ${time(ms * 1e6)}`]);
    }
    return {name: peer, color, points};
  }).filter(curve => curve.points.length);
  if (!curves.length) return;
  const most = Math.max(...curves.flatMap(curve => curve.points.map(point => point[0])));
  const top = Math.max(...curves.flatMap(curve => curve.points.map(point => point[1]))), mib = 1048576;
  const ticks = [];
  for (let tick = 0; tick <= top * 1.02; tick += 64 * mib) ticks.push([tick, `${tick / mib} MiB`]);
  const seconds = [];
  for (let ms = 0; ms <= most; ms += 500) seconds.push([ms, `${ms / 1000} s`]);
  chart("resident", "Above the start, malloc on Linux", curves.map(curve => [curve.name, curve.color]), lines(curves, {height: 260, width: narrow.matches ? 420 : 560,
    x: {range: [0, most], ticks: seconds}, y: {range: [0, top * 1.04], ticks}}));
}

// ---- Granules ----

function drawPicture(canvas, picture) {
  const style = getComputedStyle(document.documentElement), context = canvas.getContext("2d");
  const color = name => style.getPropertyValue(name).trim().match(/[0-9a-f]{2}/gi).map(part => parseInt(part, 16));
  const reserved = color("--reserved"), committed = color("--committed");
  context.clearRect(0, 0, canvas.width, canvas.height);
  picture.columns.forEach((column, x) => {
    for (let y = 0; y < column.length; y++) {
      if (column[y] === ".") continue;
      const share = Number(column[y]) / 9;
      context.fillStyle = `rgb(${reserved.map((from, i) => Math.round(from + (committed[i] - from) * share)).join(",")})`;
      context.fillRect(x, column.length - 1 - y, 1, 1);
    }
  });
}

function drawGranules() {
  for (const picture of pictures) {
    const canvas = make("canvas", {width: picture.columns.length, height: picture.columns[0].length});
    const axis = make("div", {class: "axis"}, make("span", {}, "first call"), make("span", {}, `${picture.granules.toLocaleString("en")
      } granules, by address`), make("span", {}, `call ${picture.calls.toLocaleString("en")}`));
    chart("granules", picture.trace.replace(/^.*\/|\..*$/g, ""), [["reserved", "reserved"], ["committed", "committed"]], make("div", {}, canvas, axis));
    drawPicture(canvas, picture);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawPicture(canvas, picture));
  }
}

// ---- Words and tables ----

const good = ["reached", "better"], bad = ["falls short", "worse"];
const chipClass = verdict => "chip" + (good.includes(verdict) ? " good" : bad.includes(verdict) ? " bad" : "");
const count = verdict => table.rows.filter(row => row.verdict === verdict).length;

function drawSums() {
  for (const [verdict, text] of [["reached", "reach their bound"], ["falls short", "fall short of it"], ["better", "better, no bound"],
    ["even", "even"], ["worse", "worse"], ["not run", "not run"]]) {
    document.getElementById("sums").append(make("div", {class: "tile"}, make("b", {}, String(count(verdict))), make("span", {}, text)));
  }
}

function tableRow(row) {
  const cell = (kind, text) => make("td", {class: kind}, text);
  const run = row.verdict !== "not run";
  return make("tr", {}, cell("work", row.work), cell("figures ours", row.ours_text), cell("figures theirs", row.theirs_text),
    cell("against", row.against), cell("ratio", row.ratio > 0 ? times(row.ratio) : ""), cell("wanted", row.wanted),
    cell("spread", run ? `±${Math.round(row.spread * 100)} %` : ""),
    make("td", {class: "verdict", title: row.why}, make("span", {class: chipClass(row.verdict)}, row.verdict)));
}

function drawTables() {
  const sections = [...new Set(table.rows.map(row => row.section))];
  for (const section of sections) {
    const rows = table.rows.filter(row => row.section === section), run = rows.filter(row => row.verdict !== "not run");
    const sums = [...good, "even", ...bad, "figure", "not run"].map(verdict => [rows.filter(row => row.verdict === verdict).length, verdict])
      .filter(([number]) => number).map(([number, verdict]) => make("span", {class: chipClass(verdict)},
        `${number} ${number > 1 ? verdict.replace("falls", "fall") : verdict}`));
    const heads = ["", "hostmem", "theirs", "against", "ratio", "wanted", "spread", "verdict"].map(head =>
      make("th", head === "against" ? {class: "against"} : {}, head));
    const box = make("details", {}, make("summary", {}, section, ...sums),
      make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows.map(tableRow))));
    if (run.length && sections.indexOf(section) < 2) box.open = true;
    document.getElementById("tables").append(box);
  }
}

function drawWords() {
  document.getElementById("where").textContent = `${machine.processor || "unknown processor"}, ${machine.processors || "?"} processors, ` +
    `${machine.distribution || "unknown system"}; ${machine.date || "undated"}, ${machine.rounds || "?"} rounds of the ${machine.set || ""} set, hostmem ${machine.hostmem || "?"}`;
  const busy = document.getElementById("busy");
  busy.hidden = !(table.wall_over_processor_time > 1.1);
  busy.textContent = `The machine was busy with something else: the clock on the wall ran ${table.wall_over_processor_time.toFixed(2)
    } times as long as the processor worked. Do not trust these times.`;
  for (const [key, value] of Object.entries(machine)) {
    document.getElementById("machine").append(make("dt", {}, key), make("dd", {}, value));
  }
}

drawWords();
drawSums();
drawRatios();
narrow.addEventListener("change", () => {
  document.querySelector("#ratios .charts").replaceChildren();
  drawRatios();
});
drawLatency();
drawResident();
drawGranules();
drawTables();
for (const section of document.querySelectorAll("section")) { // one that has nothing to show is not shown
  const charts = section.querySelector(".charts");
  if (charts && !charts.children.length) section.hidden = true;
}
if (location.hash.startsWith("#only=")) { // for pictures of single sections
  document.body.classList.add("only");
  const [name, most] = location.hash.slice(6).split(",");
  const shown = document.getElementById(name);
  shown.classList.add("shown");
  if (most) [...shown.querySelectorAll("figure")].slice(Number(most)).forEach(box => box.remove());
}
