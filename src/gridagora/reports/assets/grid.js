// The grid drawn: branches by their highest loading, buses by the voltage furthest from 1 pu.

const GRID = DATA.grid;
const BRANCH_WIDTH = [1.6, 2.2, 3, 3.8, 4.8];
let gridCase = "";

const gridIndex = (kind) => GRID.kind.flatMap((found, k) => found === kind ? [k] : []);
// Degrees are stretched to true proportions; a tall feeder lies down on a wide page, so that it fills it.
const extent = (n) => {
  const values = GRID.place.flatMap((p) => [p[n], p[n + 2]]).filter((value) => value !== null);
  return values.length ? [Math.min(...values), Math.max(...values)] : [0, 0];
};
const [[WEST, EAST], [SOUTH, NORTH]] = [extent(0), extent(1)];
const STRETCH = GRID.geographic ? Math.cos((SOUTH + NORTH) / 2 * Math.PI / 180) : 1;
const TURNED = GRID.real && !narrow() && NORTH - SOUTH > 1.3 * STRETCH * (EAST - WEST);
const SOURCE = GRID.place[Math.max(GRID.kind.indexOf("transformer"), 0)];
const SIDE = SOURCE && SOURCE[1] < (SOUTH + NORTH) / 2 ? -1 : 1; // the source comes to lie on the left
const placed = (x, y) => x === null ? [null, null] : TURNED ? [-SIDE * y, SIDE * x * STRETCH] : [x * STRETCH, y];
const PLACE = GRID.place.map((p) => [...placed(p[0], p[1]), ...placed(p[2], p[3])]);
const middle = (place) => [(place[0] + place[2]) / 2, (place[1] + place[3]) / 2];
const limitOf = (k) => DATA.limits[GRID.kind[k]];

function elementName(k) {
  const [kind, name] = [GRID.kind[k], GRID.element[k]];
  return name.toLowerCase().includes(kind) ? safe(name) : `${kind} ${safe(name)}`;
}

function elementText(k) {
  const bus = GRID.kind[k] === "bus";
  const format = (value) => value === null ? "not known" : bus ? `${show(value, 4)} pu` : `${show(value, 1)} %`;
  const at = (when) => when ? ` on ${when}` : "";
  const rows = [
    `<b>${elementName(k)}</b>`,
    `with market: ${format(GRID.value[k])}${at(GRID.when[k])}`,
    `without market: ${format(GRID.value_baseline[k])}${at(GRID.when_baseline[k])}`,
  ];
  if (GRID.broken[k] || GRID.broken_baseline[k]) {
    rows.push(`limit broken in ${GRID.broken[k]} periods (without market ${GRID.broken_baseline[k]})`);
  }
  if (GRID.behind[k]) rows.push(`participants ${bus ? "here" : "behind it"}: ${safe(GRID.behind[k])}`);
  if (GRID.contributors[k]) rows.push(`largest contributors at the worst: ${safe(GRID.contributors[k])}`);
  return rows.join("<br>");
}

function branchTraces(values) {
  const classes = [...Array(6)].map(() => ({ x: [], y: [] }));
  for (const k of gridIndex("line").concat(gridIndex("transformer"))) {
    const share = (values[k] ?? 0) / limitOf(k);
    const found = classes[share > 1 ? 5 : Math.min(4, Math.floor(share * 5))];
    const [x, y, x2, y2] = PLACE[k];
    found.x.push(x, x2, null);
    found.y.push(y, y2, null);
  }
  return classes.map((found, n) => ({
    type: "scatter", mode: "lines", hoverinfo: "skip", skipCsv: true, x: found.x.length ? found.x : [null], y: found.y.length ? found.y : [null],
    name: n === 5 ? "above limit" : `${20 * n}\u2013${20 * n + 20} %`,
    line: { color: n === 5 ? css("limit") : css(`l${n}`), width: n === 5 ? 6 : BRANCH_WIDTH[n] },
  }));
}

function hoverTrace(kind, name, values, marker) {
  const found = gridIndex(kind);
  const points = found.map((k) => middle(PLACE[k]));
  return {
    type: "scatter", mode: "markers", name, showlegend: false, x: points.map((p) => p[0]), y: points.map((p) => p[1]),
    hovertext: found.map(elementText), hovertemplate: "%{hovertext}<extra></extra>", marker: marker(found, values),
  };
}

const VOLTAGE_SCALE = [[0, "#5e3c99"], [0.25, "#b2abd2"], [0.5, "#f2f2f2"], [0.75, "#fdb863"], [1, "#e66101"]];

function busMarker(found, values) {
  const { vm_min: low, vm_max: high } = DATA.limits;
  const reach = Math.max(1 - low, high - 1);
  const broken = found.map((k) => values[k] !== null && (values[k] < low || values[k] > high));
  const size = found.length > 200 ? 5 : found.length > 60 ? 7 : 9;
  return {
    size: broken.map((bad) => size + (bad ? 3 : 0)), color: found.map((k) => values[k] ?? 1),
    cmin: 1 - reach, cmax: 1 + reach, colorscale: VOLTAGE_SCALE,
    line: { color: broken.map((bad) => bad ? css("limit") : css("quiet")), width: broken.map((bad) => bad ? 2 : 1) },
    colorbar: narrow() ? undefined : { title: { text: "voltage (pu)", side: "right" }, thickness: 12, outlinewidth: 0, len: 0.9, tickformat: ".2f" },
    showscale: !narrow(),
  };
}

const squares = (found, values) => ({
  symbol: "square", size: 15, line: { color: css("paper"), width: 2 },
  color: found.map((k) => {
    const share = (values[k] ?? 0) / limitOf(k);
    return share > 1 ? css("limit") : css(`l${Math.min(4, Math.floor(share * 5))}`);
  }),
});
const unseen = () => ({ size: 16, color: "rgba(0,0,0,0)" });

// The worst element of each kind is named on the drawing itself, for print and for those who do not point.
function callouts(values) {
  const worst = (kind, score) => gridIndex(kind).filter((k) => values[k] !== null)
    .reduce((best, k) => best === null || score(k) > score(best) ? k : best, null);
  const branch = (kind) => worst(kind, (k) => values[k] / limitOf(k));
  const bus = worst("bus", (k) => Math.abs(values[k] - 1));
  const found = [[branch("line"), 50, 62], [branch("transformer"), 40, -62], [bus, -30, -54]].filter(([k]) => k !== null);
  return found.map(([k, ax, ay]) => {
    const [x, y] = middle(PLACE[k]);
    const value = GRID.kind[k] === "bus" ? `${show(values[k], 3)} pu` : `${show(values[k], 0)} %`;
    return { x, y, ax, ay, text: `${elementName(k)}: ${value}`, showarrow: true, arrowhead: 0, arrowwidth: 1,
      arrowcolor: css("quiet"), bgcolor: css("paper"), bordercolor: css("rule"), borderpad: 3, font: { size: 12 } };
  });
}

chart("grid", () => {
  const values = GRID[`value${gridCase}`];
  if (!GRID.element.length || GRID.place.every((p) => p[0] === null)) return { empty: "The grid of this run has no elements to draw." };
  const bare = { visible: false, showgrid: false, zeroline: false };
  const data = [
    ...branchTraces(values),
    hoverTrace("line", "line", values, unseen),
    hoverTrace("bus", "bus", values, busMarker),
    hoverTrace("transformer", "transformer", values, squares),
  ];
  return { data, layout: layout({
    hovermode: "closest", dragmode: "pan", margin: { l: 8, r: 8, t: 30, b: 8 }, annotations: callouts(values),
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", traceorder: "normal", title: { text: narrow() ? "" : "loading, share of limit&nbsp; " } },
    xaxis: bare, yaxis: GRID.real ? { ...bare, scaleanchor: "x" } : bare }) };
});

byId("grid-note").textContent = GRID.real
  ? `Squares: transformers. Drawn to the coordinates of the grid${TURNED ? `, turned by a quarter: ${SIDE > 0 ? "north, or up, is" : "south, or down, is"} on the left` : ""}.`
  : "Squares: transformers. The grid has no coordinates: drawn as a tree from its source, not to scale.";

document.querySelectorAll("button.case").forEach((button) => button.addEventListener("click", () => {
  gridCase = button.dataset.case;
  document.querySelectorAll("button.case").forEach((other) => {
    other.classList.toggle("on", other === button);
    other.setAttribute("aria-pressed", String(other === button));
  });
  drawChart("grid");
}));
