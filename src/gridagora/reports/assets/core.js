"use strict";
// Shared pieces of the page: data, theme, text, drawing of a chart with its CSV button.

window.addEventListener("error", (event) => {
  const box = document.getElementById("errors");
  box.hidden = false;
  box.append(`A part of this page failed: ${event.message}. `);
});

const DATA = JSON.parse(document.getElementById("data").textContent);
const CASES = [["", "with market"], ["_baseline", "without market"]];
const UNIT = { period: "period", hour: "hour", day: "day" }[DATA.bin];
const MONEY = DATA.currency;
const narrow = () => window.innerWidth < 760;
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const byId = (id) => document.getElementById(id);

// Chart texts know a little HTML: names of participants and elements must not be read as such.
const safe = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

function show(value, digits = 2) {
  if (value === null || value === undefined || Number.isNaN(value)) return "n/a";
  const text = value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return /[1-9]/.test(text) ? text.replace("-", "\u2212") : text.replace("-", ""); // no minus before a zero
}

const anyNumber = (values) => values.some((value) => value !== null);

// ---- theme ------------------------------------------------------------------------------------------------------
const THEMES = ["auto", "light", "dark"];
let theme = "auto";
let printing = false;
const systemDark = window.matchMedia("(prefers-color-scheme: dark)");

function applyTheme() {
  const dark = !printing && (theme === "dark" || (theme === "auto" && systemDark.matches));
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  byId("theme").textContent = `Theme: ${theme}`;
}
applyTheme();

// ---- charts -----------------------------------------------------------------------------------------------------
const PRINT_WIDTH = 690; // pixels between the margins of A4: the page is not laid out yet when charts are drawn
const charts = new Map(); // id -> function that returns {data, layout} or {empty: text}
const prepare = []; // what parts of the page do once its charts are drawn
const timeCharts = []; // ids of charts over time: they zoom together
const CONFIG = {
  responsive: true,
  displaylogo: false,
  displayModeBar: narrow() ? false : "hover",
  modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d", "sendChartToCloud"],
  showSendToCloud: false, // data of a run never leave the page
  plotlyServerURL: "",
  toImageButtonOptions: { format: "svg" },
};

function layout(extra = {}) {
  const axis = {
    gridcolor: css("grid"), linecolor: css("rule"), zerolinecolor: css("rule"), automargin: true, tickcolor: css("rule"),
    ticks: "outside", ticklen: 4,
  };
  const base = {
    font: { family: "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif", size: 13, color: css("ink") },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 60, r: 14, t: 34, b: 44 },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", xanchor: "left", bgcolor: "rgba(0,0,0,0)", traceorder: "normal" },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: css("rule"), activecolor: css("quiet") },
    hoverlabel: { bgcolor: css("panel"), bordercolor: css("rule"), font: { color: css("ink") }, align: "left" },
    hovermode: "x unified",
    dragmode: "zoom",
  };
  const { xaxis, yaxis, ...rest } = extra;
  return { ...base, ...rest, xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis } };
}

const title = (text) => ({ title: { text, standoff: 8 } });
const timeAxis = () => ({ type: "date", ...title(`local time (${safe(DATA.timezone)})`), hoverformat: DATA.bin === "day" ? "%a %d %b %Y" : "%a %d %b %Y %H:%M" });

function drawChart(id) {
  const box = byId(`chart-${id}`);
  const figure = charts.get(id)();
  if (figure.empty) {
    box.classList.add("empty");
    box.textContent = figure.empty;
    return;
  }
  const kept = box.layout && timeCharts.includes(id) ? box.layout.xaxis : null;
  if (kept && kept.autorange === false && kept.range) figure.layout.xaxis.range = kept.range;
  if (kept && kept.autorange === false) figure.layout.xaxis.autorange = false;
  if (printing) Object.assign(figure.layout, { width: PRINT_WIDTH, height: id === "grid" ? 420 : 290 });
  const first = !box.data;
  Plotly.react(box, figure.data, figure.layout, CONFIG);
  if (!first) return;
  if (timeCharts.includes(id)) box.on("plotly_relayout", (change) => zoomTogether(id, change));
  addCsvButton(box, id);
}

function chart(id, make, { overTime = false } = {}) {
  if (!byId(`chart-${id}`)) return;
  charts.set(id, make);
  if (overTime) timeCharts.push(id);
}

const drawAll = () => charts.forEach((_, id) => drawChart(id));

let zooming = false;
function zoomTogether(id, change) {
  const whole = change["xaxis.autorange"];
  const range = change["xaxis.range"] || [change["xaxis.range[0]"], change["xaxis.range[1]"]];
  if (zooming || (!whole && range[0] === undefined)) return;
  zooming = true;
  const update = whole ? { "xaxis.autorange": true } : { "xaxis.range": [...range], "xaxis.autorange": false };
  const others = timeCharts.filter((other) => other !== id && byId(`chart-${other}`).data);
  Promise.all(others.map((other) => Plotly.relayout(byId(`chart-${other}`), update))).finally(() => { zooming = false; });
}

// ---- CSV --------------------------------------------------------------------------------------------------------
// A text that a spreadsheet would run as a formula gets a quote in front; numbers stay numbers.
function csvCell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}

function download(name, rows) {
  const text = rows.map((row) => row.map(csvCell).join(",")).join("\r\n");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(["\ufeff", text], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function addCsvButton(box, id) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "csv noprint";
  button.textContent = "CSV";
  button.title = "Data of this chart as CSV";
  button.addEventListener("click", () => download(`${id}.csv`, chartRows(box.data)));
  box.append(button);
}

function chartRows(traces) {
  const rows = [["series", "x", "y"]];
  for (const trace of traces) {
    if (trace.type === "sankey") {
      trace.link.source.forEach((from, k) => rows.push([trace.node.label[from], trace.node.label[trace.link.target[k]], trace.link.value[k]]));
    }
    if (trace.name === undefined || !trace.x || trace.skipCsv) continue;
    trace.x.forEach((x, k) => rows.push([trace.name, x, trace.y[k]]));
  }
  return rows;
}
