// Markets of zones: the grid by zone, flows between zones, gates, prices, islands, welfare.

const ZONES = DATA.zones;
const ZONE_COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c6bb1", "#7a9a01", "#b5651d", "#17a2b8", "#c2185b", "#6d7f8f"];
const BULK = ZONES.parent.indexOf(-1);
const zoneColour = (z) => z === BULK || z < 0 ? css("quiet") : ZONE_COLOURS[(z > BULK ? z - 1 : z) % ZONE_COLOURS.length];
const faded = (colour, share) => {
  const hex = /^#(..)(..)(..)$/.exec(colour);
  return hex ? `rgba(${hex.slice(1).map((part) => parseInt(part, 16)).join(",")},${share})` : colour;
};
const zoneName = (z) => z < 0 ? "other zones" : ZONES.names[z];
const inkOf = (z) => ZONES.island_periods[z] ? `${zoneName(z)} (island, ${ZONES.island_periods[z]} periods)` : zoneName(z);
let zoneAt = 0; // place in ZONES.drawn
let islandAt = Object.keys(ZONES.balance)[0];

// ---- map --------------------------------------------------------------------------------------------------------
function gateText(k) {
  const z = ZONES.gate_of[k];
  const limit = (n, word) => ZONES.limits[n][z] === null ? `no limit known ${word}` : `${show(ZONES.limits[n][z], 1)} kW ${word}`;
  const use = ZONES.gate_use[z] === null ? "" : `<br>highest use ${show(ZONES.gate_use[z], 0)} %`;
  return `<b>gate of ${safe(zoneName(z))}</b><br>${elementName(k)}<br>${limit(0, "in")}, ${limit(1, "out")}${use}`;
}

function zoneTraces(z) {
  const wires = { x: [], y: [] };
  const points = [];
  ZONES.zone_of.forEach((found, k) => {
    if (found !== z) return;
    if (GRID.kind[k] === "bus") {
      points.push(k);
    } else {
      const [x, y, x2, y2] = PLACE[k];
      wires.x.push(x, x2, null);
      wires.y.push(y, y2, null);
    }
  });
  if (!points.length && !wires.x.length) return [];
  const colour = zoneColour(z);
  const size = gridIndex("bus").length > 200 ? 5 : 9;
  const ring = ZONES.island_periods[z] > 0;
  return [
    { type: "scatter", mode: "lines", name: safe(inkOf(z)), legendgroup: String(z), showlegend: false, hoverinfo: "skip", skipCsv: true,
      x: wires.x, y: wires.y, line: { color: colour, width: 2.4 } },
    { type: "scatter", mode: "markers", name: safe(inkOf(z)), legendgroup: String(z),
      x: points.map((k) => PLACE[k][0]), y: points.map((k) => PLACE[k][1]),
      hovertext: points.map((k) => `<b>${elementName(k)}</b><br>zone ${safe(zoneName(z))}${GRID.behind[k] ? `<br>participants here: ${safe(GRID.behind[k])}` : ""}`),
      hovertemplate: "%{hovertext}<extra></extra>",
      marker: { size: ring ? size + 3 : size, color: ring ? css("paper") : colour, line: { color: colour, width: ring ? 3 : 1 } } },
  ];
}

chart("zone-map", () => {
  if (!GRID.element.length || GRID.place.every((p) => p[0] === null)) return { empty: "The grid of this run has no elements to draw." };
  const gates = ZONES.gate_of.flatMap((z, k) => z >= 0 ? [k] : []);
  const bare = { visible: false, showgrid: false, zeroline: false };
  const at = gates.map((k) => middle(PLACE[k]));
  const data = [
    ...ZONES.names.flatMap((_, z) => zoneTraces(z)),
    { type: "scatter", mode: "markers", name: "gate", x: at.map((p) => p[0]), y: at.map((p) => p[1]), hovertext: gates.map(gateText),
      hovertemplate: "%{hovertext}<extra></extra>",
      marker: { symbol: "diamond", size: 15, color: gates.map((k) => zoneColour(ZONES.gate_of[k])), line: { color: css("ink"), width: 1.5 } } },
  ];
  const many = ZONES.names.length > 7 && !narrow();
  return { data, layout: layout({ hovermode: "closest", dragmode: "pan", margin: { l: 8, r: 8, t: many ? 10 : 44, b: 8 },
    ...(many ? { legend: { orientation: "v", x: 1.01, y: 1, bgcolor: "rgba(0,0,0,0)" } } : {}),
    xaxis: bare, yaxis: GRID.real ? { ...bare, scaleanchor: "x" } : bare }) };
});

// ---- flows ------------------------------------------------------------------------------------------------------
chart("zone-flows", () => {
  const flows = ZONES.flows;
  if (!flows.kwh.length) return { empty: "Nothing was traded." };
  const total = (ends, k) => flows.kwh.reduce((sum, kwh, n) => flows[ends][n] === k ? sum + kwh : sum, 0);
  const used = (ends) => flows.names.map((_, k) => k).filter((k) => flows[ends].includes(k));
  const [left, right] = [used("from"), used("to")];
  byId("chart-zone-flows").classList.toggle("many", left.length + right.length > 14);
  const colours = (places) => places.map((k) => zoneColour(flows.zone[k]));
  const label = (ends, word) => (k) => `${safe(flows.names[k])} ${word} ${show(total(ends, k), 0)} kWh`;
  const data = [{
    type: "sankey", orientation: "h", arrangement: "snap", valueformat: ",.1f", valuesuffix: " kWh",
    node: { label: [...left.map(label("from", "sold")), ...right.map(label("to", "bought"))], color: [...colours(left), ...colours(right)],
      pad: left.length + right.length > 14 ? 22 : 14, thickness: 16, line: { width: 0 }, hovertemplate: "%{label}<extra></extra>" },
    link: { source: flows.from.map((k) => left.indexOf(k)), target: flows.to.map((k) => left.length + right.indexOf(k)), value: flows.kwh,
      color: flows.from.map((k) => faded(zoneColour(flows.zone[k]) === css("quiet") ? "#808890" : zoneColour(flows.zone[k]), 0.38)),
      hovertemplate: "%{source.label} \u2192 %{target.label}<br>%{value}<extra></extra>" },
  }];
  return { data, layout: layout({ margin: { l: 8, r: 8, t: 14, b: 34 } }) };
});

// ---- one zone over time -----------------------------------------------------------------------------------------
const islandShapes = (z) => (ZONES.islands[z] || []).map(([x0, x1]) => ({
  type: "rect", xref: "x", yref: "paper", x0, x1, y0: 0, y1: 1, fillcolor: css("band-price"), line: { color: css("limit"), width: 1, dash: "dot" }, layer: "below" }));
// A bar of a period begins where the period does, as the lines and the shading do.
const fromStart = () => DATA.bin === "period" ? { offset: 0, width: DATA.hours * 3600e3 } : {};
const stepped = () => DATA.bin === "period" ? "hv" : "linear";

chart("zone-gate", () => {
  const found = ZONES.over_time[zoneAt];
  const limit = (name, values) => line(name, DATA.time, values, css("limit"), { line: { dash: "dash", width: 1.6, shape: stepped() }, hovertemplate: "%{y:.1f} kW" });
  const minus = (values) => values.map((value) => value === null ? null : -value);
  const data = [];
  if (DATA.bin !== "period") {
    const band = (name, values, extra) => line(name, DATA.time, values, css("with"), { line: { width: 0.8 }, showlegend: false, hovertemplate: "%{y:.1f} kW", ...extra });
    data.push(band("metered, lowest", found.low, {}), band("metered, highest", found.high, { fill: "tonexty", fillcolor: css("band") }));
  }
  data.push(line("matched", DATA.time, found.matched, css("without"), { line: { width: 3.4, shape: stepped() }, hovertemplate: "%{y:.1f} kW" }));
  data.push(line("decided", DATA.time, found.decided, css("own"), { line: { width: 2.2, shape: stepped() }, hovertemplate: "%{y:.1f} kW" }));
  data.push(line("metered", DATA.time, found.mean, css("with"), { line: { width: 1.6, shape: stepped() }, hovertemplate: "%{y:.1f} kW" }));
  if (anyNumber(found.import_limit)) data.push(limit("import limit", found.import_limit));
  if (anyNumber(found.export_limit)) data.push(limit("export limit", minus(found.export_limit)));
  return { data, layout: layout({ shapes: islandShapes(ZONES.drawn[zoneAt]), xaxis: timeAxis(),
    yaxis: { ...title("into the zone (kW)"), zeroline: true, zerolinewidth: 2 } }) };
}, { overTime: true });

chart("zone-price", () => {
  const data = [];
  ZONES.drawn.forEach((z, n) => {
    if (n === zoneAt || !anyNumber(ZONES.over_time[n].price)) return;
    data.push(line(safe(zoneName(z)), DATA.time, ZONES.over_time[n].price, zoneColour(z), { mode: "lines+markers", marker: { size: 3 }, opacity: 0.75,
      line: { width: 1, shape: stepped() }, hovertemplate: "%{y:.4f}" }));
  });
  const found = ZONES.over_time[zoneAt];
  const z = ZONES.drawn[zoneAt];
  if (anyNumber(found.joint)) data.push(line("joint market", DATA.time, found.joint, css("ink"), { line: { width: 1.6, dash: "dot", shape: stepped() }, hovertemplate: "%{y:.4f}" }));
  if (anyNumber(found.price)) data.push(line(safe(zoneName(z)), DATA.time, found.price, zoneColour(z), { mode: "lines+markers", marker: { size: 5 }, line: { width: 3, shape: stepped() }, hovertemplate: "%{y:.4f}" }));
  if (!data.length) return { empty: "Nothing was traded in any zone." };
  return { data, layout: layout({ shapes: islandShapes(z), xaxis: { ...timeAxis(), range: [DATA.time[0], DATA.time[DATA.time.length - 1]] },
    yaxis: title(`price (${safe(MONEY)}/kWh)`) }) };
}, { overTime: true });

chart("zone-welfare", () => {
  const { gap } = ZONES.welfare;
  if (!anyNumber(gap)) return { empty: "Nothing was traded in any period." };
  if (!gap.some((value) => Math.abs(value ?? 0) > 5e-7)) return { empty: "The gap is 0 in every period." };
  return { data: [bars("joint clearing less zones", DATA.time, gap, css("limit"), { ...fromStart(), hovertemplate: `%{y:.4f} ${safe(MONEY)}` })],
    layout: layout({ bargap: 0, showlegend: false, xaxis: timeAxis(), yaxis: title(`welfare gap (${safe(MONEY)} per ${UNIT})`) }) };
}, { overTime: true });

// ---- islands ----------------------------------------------------------------------------------------------------
chart("zone-island", () => {
  const found = ZONES.balance[islandAt];
  if (!found) return { empty: "No zone was an island." };
  const minus = (values) => values.map((value) => value === null ? null : -value);
  const bar = (name, values, colour, extra = {}) => bars(name, DATA.time, values, colour, { ...fromStart(), hovertemplate: "%{y:.2f} kW", ...extra });
  const data = [
    bar("sun", found.made, css("pv")),
    bar("batteries", found.given, css("own")),
    bar("through the gate", found.entered, css("upstream")),
    bar("load served", minus(found.served), css("with")),
    bar("into batteries", minus(found.charged), css("between")),
    bar("out through the gate", minus(found.left), css("export")),
    bar("load not served", found.lost.map((value) => value ? -value : null), css("limit"), { marker: { color: "rgba(0,0,0,0)", line: { color: css("limit"), width: 1.5 }, pattern: { shape: ".", fgcolor: css("limit"), size: 5 } } }),
  ].filter((trace) => trace.y.some((value) => value));
  if (anyNumber(found.formed) && found.formed.some((value) => value)) {
    data.push(line("source that forms the voltage", DATA.time, found.formed, css("ink"), { line: { width: 1.4, dash: "dot", shape: stepped() }, hovertemplate: "%{y:.2f} kW" }));
  }
  return { data, layout: layout({ barmode: "relative", bargap: 0, shapes: islandShapes(islandAt), xaxis: timeAxis(), yaxis: { ...title("power (kW)"), zeroline: true, zerolinewidth: 2 } }) };
}, { overTime: true });

function showZone(n) {
  zoneAt = n;
  const z = ZONES.drawn[n];
  const limit = (k) => {
    const highest = ZONES.limits[k][z];
    if (highest === null) return "no limit known";
    const told = (ZONES.over_time[n][k ? "export_limit" : "import_limit"] || []).filter((value) => value !== null);
    const [low, high] = [Math.min(highest, ...told), highest].map((value) => show(value, 1));
    return low === high ? `${high} kW` : `${low} to ${high} kW`;
  };
  const use = ZONES.gate_use[z] === null ? "" : ` Highest use of its gate: ${show(ZONES.gate_use[z], 0)} % of the limit then.`;
  byId("zone-text").textContent = z === BULK ? "The whole grid, seen from the bulk grid: what its homes take from there."
    : `${zoneName(z)} in ${zoneName(ZONES.parent[z])}: limit in ${limit(0)}, out ${limit(1)}.${use}`;
  drawChart("zone-gate");
  drawChart("zone-price");
}

function prepareZones() {
  const pick = byId("zone-pick");
  pick.append(...ZONES.drawn.map((z, n) => new Option(zoneName(z).toLowerCase().startsWith(ZONES.level[z].toLowerCase()) ? zoneName(z) : `${ZONES.level[z]}: ${zoneName(z)}`, n)));
  pick.addEventListener("change", () => showZone(Number(pick.value)));
  const busiest = ZONES.drawn.reduce((best, z, n) => (ZONES.gate_use[z] ?? -1) > (ZONES.gate_use[ZONES.drawn[best]] ?? -1) ? n : best, 0);
  const island = ZONES.drawn.indexOf(Number(islandAt)); // what was an island is shown first
  const first = island >= 0 ? island : busiest;
  pick.value = first;
  showZone(first);
  const islands = byId("island-pick");
  islands.append(...Object.keys(ZONES.balance).map((z) => new Option(zoneName(Number(z)), z)));
  islands.addEventListener("change", () => { islandAt = islands.value; drawChart("zone-island"); });
  makeTable("zones", ZONES.tables.zones, { name: "zones.csv" });
  makeTable("zone-flows", ZONES.tables.flows, { name: "zone-flows.csv", empty: "Nothing was traded." });
  makeTable("zone-decisions", ZONES.tables.decisions, { name: "zone-decisions.csv", empty: "Nothing was decided." });
}
if (!Object.keys(ZONES.balance).length) charts.delete("zone-island");
prepare.push(prepareZones);
