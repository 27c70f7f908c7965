// A market that knows the wires: prices of one period on the grid, and their parts.

const NODAL = DATA.network;
const PARTS = [["energy", "upstream"], ["loss", "between"], ["congestion", "limit"], ["voltage", "own"]];
const PRICE_SCALE = [[0, "#2166ac"], [0.5, "#f2f2f2"], [1, "#b2182b"]];
let nodalAt = NODAL.worst;

function nodalText(n) {
  const parts = PARTS.map(([name]) => `${name} ${show(NODAL[name][nodalAt][n], 4)}`);
  const zone = NODAL.zone_price ? `<br>market of its zone ${show(NODAL.zone_price[nodalAt][n], 4)}` : "";
  return `<b>${elementName(NODAL.bus[n])}</b><br>${show(NODAL.price[nodalAt][n], 4)} ${safe(MONEY)}/kWh<br>${parts.join("<br>")}${zone}`;
}

chart("nodal", () => {
  const places = NODAL.bus.map((k) => middle(PLACE[k]));
  if (!places.length || places.every((p) => p[0] === null)) return { empty: "The grid of this run has no buses to draw." };
  const wires = { x: [], y: [] };
  for (const k of gridIndex("line").concat(gridIndex("transformer"))) {
    const [x, y, x2, y2] = PLACE[k];
    wires.x.push(x, x2, null);
    wires.y.push(y, y2, null);
  }
  const price = NODAL.price[nodalAt];
  const known = price.filter((value) => value !== null);
  const energy = NODAL.energy[nodalAt].find((value) => value !== null) ?? 0;
  const far = Math.max(...known.map((value) => Math.abs(value - energy)), 1e-4);
  const bare = { visible: false, showgrid: false, zeroline: false };
  const priced = NODAL.bus.map((_, n) => n).filter((n) => price[n] !== null);
  const without = NODAL.bus.map((_, n) => n).filter((n) => price[n] === null);
  const data = [
    { type: "scatter", mode: "lines", hoverinfo: "skip", skipCsv: true, showlegend: false, x: wires.x, y: wires.y,
      line: { color: css("rule"), width: 1.6 } },
    { type: "scatter", mode: "markers", name: "no price", showlegend: false, x: without.map((n) => places[n][0]), y: without.map((n) => places[n][1]),
      hovertext: without.map((n) => `<b>${elementName(NODAL.bus[n])}</b><br>no price: nothing traded, or on an island`), hovertemplate: "%{hovertext}<extra></extra>",
      marker: { size: places.length > 200 ? 6 : 10, color: css("paper"), line: { color: css("quiet"), width: 1 } } },
    { type: "scatter", mode: "markers", name: "price", showlegend: false, x: priced.map((n) => places[n][0]), y: priced.map((n) => places[n][1]),
      hovertext: priced.map(nodalText), hovertemplate: "%{hovertext}<extra></extra>",
      marker: { size: places.length > 200 ? 6 : 10, color: priced.map((n) => price[n]), cmin: energy - far, cmax: energy + far,
        colorscale: PRICE_SCALE, line: { color: css("quiet"), width: 1 }, showscale: !narrow(),
        colorbar: narrow() ? undefined : { title: { text: `price (${safe(MONEY)}/kWh)`, side: "right" }, thickness: 12, outlinewidth: 0, len: 0.9 } } },
  ];
  return { data, layout: layout({ hovermode: "closest", dragmode: "pan", margin: { l: 8, r: 8, t: 10, b: 8 },
    xaxis: bare, yaxis: GRID.real ? { ...bare, scaleanchor: "x" } : bare }) };
});

chart("nodal-parts", () => {
  const order = NODAL.bus.map((_, n) => n).filter((n) => NODAL.price[nodalAt][n] !== null)
    .sort((a, b) => NODAL.price[nodalAt][a] - NODAL.price[nodalAt][b]);
  if (!order.length) return { empty: "Nothing was traded in this period." };
  const names = order.map((n) => safe(GRID.element[NODAL.bus[n]]));
  const data = PARTS.map(([name, colour]) => ({ type: "bar", name, x: names, y: order.map((n) => NODAL[name][nodalAt][n]),
    marker: { color: css(colour) }, hovertemplate: `${name} %{y:.4f}` }));
  data.push({ type: "scatter", mode: "lines", name: "price", x: names, y: order.map((n) => NODAL.price[nodalAt][n]),
    line: { color: css("ink"), width: 1.6 }, hovertemplate: "price %{y:.4f}" });
  if (NODAL.zone_price) {
    data.push({ type: "scatter", mode: "markers", name: "market of the zone", x: names, y: order.map((n) => NODAL.zone_price[nodalAt][n]),
      marker: { symbol: "line-ew", size: 9, line: { color: css("bad"), width: 2.4 } }, hovertemplate: "zone %{y:.4f}" });
  }
  return { data, layout: layout({ barmode: "relative", bargap: 0.05, yaxis: title(`price (${safe(MONEY)}/kWh)`),
    xaxis: { ...title("bus"), type: "category", showticklabels: names.length <= 40 } }) };
});

function showNodal(k) {
  nodalAt = Math.min(Math.max(k, 0), NODAL.labels.length - 1);
  byId("nodal-slider").value = nodalAt;
  byId("nodal-back").disabled = nodalAt === 0;
  byId("nodal-next").disabled = nodalAt === NODAL.labels.length - 1;
  const known = NODAL.price[nodalAt].filter((value) => value !== null);
  byId("nodal-text").textContent = `${NODAL.labels[nodalAt]} (${DATA.timezone}): `
    + (known.length ? `prices from ${show(Math.min(...known), 4)} to ${show(Math.max(...known), 4)} ${MONEY}/kWh. ` : "nothing was traded. ")
    + `${NODAL.text[nodalAt]}`;
  drawChart("nodal");
  drawChart("nodal-parts");
}

if (!NODAL.labels.length) ["nodal", "nodal-parts"].forEach((id) => charts.delete(id));
prepare.push(() => {
  if (!NODAL.labels.length) return;
  byId("nodal-slider").max = NODAL.labels.length - 1;
  byId("nodal-slider").addEventListener("input", () => showNodal(Number(byId("nodal-slider").value)));
  byId("nodal-back").addEventListener("click", () => showNodal(nodalAt - 1));
  byId("nodal-next").addEventListener("click", () => showNodal(nodalAt + 1));
  showNodal(nodalAt);
});
