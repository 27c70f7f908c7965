// The pool: prices and volumes over time; supply and demand of one period, bids in order of price.

chart("prices", () => {
  const price = DATA.price;
  const data = [];
  if (anyNumber(price.retail)) data.push(line("retail", DATA.time, price.retail, css("limit"), { line: { dash: "dash", width: 1.4, shape: "hv" }, hovertemplate: "%{y:.4f}" }));
  if (anyNumber(price.feed_in)) data.push(line("feed-in", DATA.time, price.feed_in, css("between"), {
    line: { dash: "dash", width: 1.4, shape: "hv" }, hovertemplate: "%{y:.4f}",
    ...(data.length ? { fill: "tonexty", fillcolor: css("band-price") } : {}) }));
  if (DATA.bin !== "period" && anyNumber(price.mean)) {
    data.push(line("lowest", DATA.time, price.low, css("with"), { line: { width: 0 }, showlegend: false, hovertemplate: "%{y:.4f}" }));
    data.push(line("highest", DATA.time, price.high, css("with"), { line: { width: 0 }, fill: "tonexty", fillcolor: css("band"), showlegend: false, hovertemplate: "%{y:.4f}" }));
  }
  const shape = DATA.bin === "period" ? "hv" : "linear";
  data.push(line(DATA.zones ? "price of the bulk grid" : "clearing price", DATA.time, price.mean, css("with"), { line: { width: 2, shape }, hovertemplate: "%{y:.4f}" }));
  if (!anyNumber(price.mean) && data.length === 1) return { empty: "Nothing was traded in any period, so there is no price." };
  return { data, layout: layout({ xaxis: timeAxis(), yaxis: title(`price (${safe(MONEY)}/kWh)`) }) };
}, { overTime: true });

chart("volumes", () => {
  const price = DATA.price;
  const sum = ["local_volume_kwh", "upstream_import_kwh", "upstream_export_kwh"].map((name) => anyNumber(price[name]));
  if (!sum.some(Boolean)) return { empty: "Nothing was traded in any period." };
  const minus = price.upstream_export_kwh.map((value) => value === null ? null : -value);
  const data = [
    bars("between participants", DATA.time, price.local_volume_kwh, css("between"), { hovertemplate: "%{y:.2f} kWh" }),
    bars("bought upstream", DATA.time, price.upstream_import_kwh, css("upstream"), { hovertemplate: "%{y:.2f} kWh" }),
    bars("sold upstream", DATA.time, minus, css("export"), { hovertemplate: "%{y:.2f} kWh" }),
  ];
  return { data, layout: layout({ barmode: "relative", bargap: 0, xaxis: timeAxis(), yaxis: title(`traded (kWh per ${UNIT})`) }) };
}, { overTime: true });

const CURVE = DATA.curve;
let curveAt = CURVE.picks.length ? CURVE.picks[0][1] : 0;

function bidsOf(k) {
  const rows = [];
  for (let n = CURVE.first[k]; n < CURVE.first[k + 1]; n += 1) {
    rows.push({ side: CURVE.side[n], price: CURVE.price[n], quantity: CURVE.quantity[n], accepted: CURVE.accepted[n],
      who: CURVE.names[CURVE.who[n]] });
  }
  return rows;
}

// The chart ends somewhat beyond what participants bid: a retailer's bid without bound would hide the rest.
function reach(bids, volume) {
  const bound = (side) => bids.filter((bid) => bid.side === side && bid.quantity !== null && bid.who !== "upstream")
    .reduce((sum, bid) => sum + bid.quantity, 0);
  return 1.15 * Math.max(bound("b"), bound("s"), volume || 0) || 1;
}

function steps(bids, side, end) {
  const sorted = bids.filter((bid) => bid.side === side)
    .sort((a, b) => (side === "b" ? b.price - a.price : a.price - b.price) || (a.who < b.who ? -1 : 1));
  const found = { x: [], y: [], text: [] };
  let sum = 0;
  for (const bid of sorted) {
    if (sum >= end) break;
    const next = Math.min(end, bid.quantity === null ? end : sum + bid.quantity);
    const size = bid.quantity === null ? "without bound" : `${show(bid.quantity, 3)} kWh`;
    const text = `${safe(bid.who)}: ${size} at ${show(bid.price, 4)}, accepted ${show(bid.accepted, 3)} kWh`;
    found.x.push(sum, next);
    found.y.push(bid.price, bid.price);
    found.text.push(text, text);
    sum = next;
  }
  return found;
}

function curveFigure() {
  const bids = bidsOf(curveAt);
  if (!bids.length) return null;
  const [price, volume] = [CURVE.price_cleared[curveAt], CURVE.volume_kwh[curveAt]];
  const end = reach(bids, volume);
  const hover = "%{text}<extra></extra>";
  const side = (name, key, colour, dash) => {
    const found = steps(bids, key, end);
    return line(name, found.x, found.y, colour, { text: found.text, hovertemplate: hover, line: { width: 2.4, dash } });
  };
  const data = [side("demand (bids to buy)", "b", css("with"), "solid"), side("supply (bids to sell)", "s", css("own"), "solid")];
  for (const [name, value] of [["retail", CURVE.retail[curveAt]], ["feed-in", CURVE.feed_in[curveAt]]]) {
    if (value !== null) data.push({ ...limitLine(name, value), x: [0, end], y: [value, value], line: { color: css("quiet"), width: 1.2, dash: "dot" } });
  }
  if (price !== null && volume > 0 && !DATA.zones) {
    data.push({ type: "scatter", mode: "lines", name: "clearing", showlegend: false, skipCsv: true, hoverinfo: "skip",
      x: [0, volume, volume], y: [price, price, 0], line: { color: css("limit"), width: 1.4, dash: "dash" } });
    data.push({ type: "scatter", mode: "markers", name: "clearing", x: [volume], y: [price], marker: { size: 12, color: css("limit"), symbol: "diamond" },
      hovertemplate: `cleared ${show(volume, 3)} kWh at ${show(price, 4)}<extra></extra>` });
  }
  return { data, layout: layout({ hovermode: "closest", xaxis: { ...title("energy (kWh in this period)"), range: [0, end] },
    yaxis: { ...title(`price (${safe(MONEY)}/kWh)`), ...priceRange(price) } }) };
}
// Where load bids the value of lost load, the prices that matter would be a line at the bottom.
function priceRange(price) {
  const top = Math.max(price ?? 0, CURVE.retail[curveAt] ?? 0);
  return DATA.network && top > 0 ? { range: [0, 2 * top] } : { rangemode: "tozero" };
}
chart("curve", () => curveFigure() || { data: [], layout: layout({ xaxis: { visible: false }, yaxis: { visible: false },
  annotations: [{ text: "No bid in this period.", showarrow: false, x: 0.5, y: 0.5, xref: "paper", yref: "paper" }] }) });

function tellCurve() {
  const bids = bidsOf(curveAt);
  const count = (side) => bids.filter((bid) => bid.side === side).length;
  const [price, volume, local] = [CURVE.price_cleared[curveAt], CURVE.volume_kwh[curveAt], CURVE.local_volume_kwh[curveAt]];
  const outcome = price === null || !volume
    ? "Nothing was traded."
    : DATA.zones ? `Traded ${show(volume, 3)} kWh, of it ${show(local, 3)} kWh between participants; the bulk grid's price is ${show(price, 4)} ${MONEY}/kWh.`
    : `Cleared ${show(volume, 3)} kWh at ${show(price, 4)} ${MONEY}/kWh, of it ${show(local, 3)} kWh between participants.`;
  byId("curve-text").textContent = `${CURVE.labels[curveAt]} (${DATA.timezone}): ${count("b")} bids to buy, ${count("s")} to sell. ${outcome}`;
}

function bidColumns() {
  const bids = bidsOf(curveAt);
  const text = (key, label, value) => ({ key, label, values: bids.map(value) });
  const numbers = (key, label, digits) => ({ key, label, digits, values: bids.map((bid) => bid[key]) });
  return [text("who", "participant", (bid) => bid.who), text("side", "side", (bid) => bid.side === "b" ? "buy" : "sell"),
    numbers("price", `price (${MONEY}/kWh)`, 4), numbers("quantity", "quantity (kWh)", 3), numbers("accepted", "accepted (kWh)", 3)];
}

function showCurve(k) {
  curveAt = Math.min(Math.max(k, 0), CURVE.labels.length - 1);
  byId("curve-slider").value = curveAt;
  byId("curve-time").value = CURVE.labels[curveAt];
  byId("curve-back").disabled = curveAt === 0;
  byId("curve-next").disabled = curveAt === CURVE.labels.length - 1;
  tellCurve();
  drawChart("curve");
  makeTable("bids", bidColumns(), { name: `bids ${CURVE.labels[curveAt].replace(":", "")}.csv`, empty: "No bid in this period." });
}

// A typed time shows the period that holds it, or the nearest shown one before it.
function curveAtTime(text) {
  const wanted = text.trim().replace("T", " ");
  let found = 0;
  CURVE.labels.forEach((label, k) => { if (label <= wanted) found = k; });
  return found;
}

function prepareCurve() {
  const slider = byId("curve-slider");
  slider.max = CURVE.labels.length - 1;
  slider.addEventListener("input", () => showCurve(Number(slider.value)));
  byId("curve-back").addEventListener("click", () => showCurve(curveAt - 1));
  byId("curve-next").addEventListener("click", () => showCurve(curveAt + 1));
  byId("curve-time").addEventListener("change", (event) => showCurve(curveAtTime(event.target.value)));
  byId("curve-times").append(...CURVE.labels.map((label) => Object.assign(document.createElement("option"), { value: label })));
  const pick = byId("curve-pick");
  pick.append(new Option("choose", ""), ...CURVE.picks.map(([what, k]) => new Option(`${what} (${CURVE.labels[k]})`, k)));
  pick.addEventListener("change", () => { if (pick.value !== "") showCurve(Number(pick.value)); });
  byId("curve-rule").textContent = `Shown: ${CURVE.rule}.`;
  showCurve(curveAt);
  byId("price-note").textContent = DATA.bin === "period"
    ? "The shaded band lies between the retailer's two prices. No price where nothing was traded."
    : `Prices are means weighted by energy; the band spans the lowest to the highest price of each ${UNIT}.`;
  for (const id of ["prices", "volumes"]) {
    const box = byId(`chart-${id}`);
    if (box.data) {
      box.on("plotly_click", (event) => {
        showCurve(curveAtTime(DATA.time[event.points[0].pointIndex]));
        byId("curve").scrollIntoView();
      });
    }
  }
}
prepare.push(prepareCurve);
