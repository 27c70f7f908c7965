// The flexibility market: loading before and after, auctions, payments and orders of one way of bidding at a time.

const FLEX = DATA.flexibility;
const flexAt = { way: FLEX.ways[0], place: 0, day: 0, scale: "offers" };
const flexCurves = () => FLEX.curves[flexAt.way];
const flexDays = () => FLEX.days[flexAt.way];
// A fee for keeping power ready is bid per hour, all else per period.
const flexUnit = () => flexCurves().horizon[flexAt.place] === "reservation" ? "hour" : "period";

chart("flex-loading", () => {
  const after = FLEX.after[flexAt.way];
  if (!anyNumber(FLEX.before.value)) return { empty: "No loading is known: no power flow found a solution." };
  const series = (name, flow, colour, width) => line(name, DATA.time, flow.value, colour, {
    line: { width }, text: flow.where.map(safe), hovertemplate: "%{y:.2f} % (%{text})" });
  const marks = FLEX.marks[flexAt.way];
  const level = (k) => after.value[k];
  const data = [
    series("before", FLEX.before, css("without"), 3.6),
    series(`after (${FLEX.labels[flexAt.way]})`, after, css("with"), 1.6),
    limitLine(`threshold ${FLEX.threshold} %`, FLEX.threshold),
    ...markers("still above", marks.still, level, "triangle-up", css("limit")),
    ...markers("newly overloaded", marks.new, level, "diamond", css("bad")),
  ];
  return { data, layout: layout({ xaxis: timeAxis(), yaxis: { ...title("loading (%)"), rangemode: "tozero" } }) };
}, { overTime: true });

function flexBids(place) {
  const curves = flexCurves();
  const rows = [];
  for (let n = curves.first[place]; n < curves.first[place + 1]; n += 1) {
    rows.push({ side: curves.side[n], step: curves.step[n], price: curves.price[n], quantity: curves.quantity[n],
      accepted: curves.accepted[n], who: curves.names[curves.who[n]] });
  }
  return rows;
}

// The price axis ends somewhat above the offers where a buyer's worth would flatten them to a line, or at the dearest bid.
function flexTop(bids) {
  const dearest = (side) => Math.max(0, ...bids.filter((bid) => bid.side === side).map((bid) => bid.price));
  const [bought, offered] = [dearest("b"), dearest("s")];
  return 1.08 * (flexAt.scale === "offers" && offered > 0 && bought > 5 * offered ? 2 * offered : Math.max(bought, offered)) || 1;
}

// Steps of a buyer whose demand is ordered come as they were bid; all others by price.
function flexSteps(bids, side, ordered) {
  const byName = (a, b) => a.who < b.who ? -1 : a.who > b.who ? 1 : 0;
  const byPrice = (a, b) => (side === "b" ? b.price - a.price : a.price - b.price) || byName(a, b) || a.step - b.step;
  const byStep = (a, b) => byName(a, b) || a.step - b.step;
  const sorted = bids.filter((bid) => bid.side === side).sort(side === "b" && ordered ? byStep : byPrice);
  const found = { x: [], y: [], text: [] };
  let sum = 0;
  for (const bid of sorted) {
    const text = `${safe(bid.who)}, step ${bid.step}: ${show(bid.quantity, 1)} kW at ${show(bid.price, 4)}, accepted ${show(bid.accepted, 1)} kW`;
    found.x.push(sum, sum + bid.quantity);
    found.y.push(bid.price, bid.price);
    found.text.push(text, text);
    sum += bid.quantity;
  }
  return found;
}

chart("flex-curve", () => {
  const curves = flexCurves();
  if (!curves.labels.length) {
    return { data: [], layout: layout({ xaxis: { visible: false }, yaxis: { visible: false },
      annotations: [{ text: "No auction was held.", showarrow: false, x: 0.5, y: 0.5, xref: "paper", yref: "paper" }] }) };
  }
  const place = flexAt.place;
  const bids = flexBids(place);
  const ordered = curves.ordered[place];
  const [price, sold] = [curves.price_cleared[place], curves.sold_kw[place]];
  const side = (name, key, colour) => {
    const found = flexSteps(bids, key, ordered);
    return line(name, found.x, found.y, colour, { text: found.text, hovertemplate: "%{text}<extra></extra>", line: { width: 2.4 } });
  };
  const data = [side(ordered ? "demand, in its order" : "demand", "b", css("with")), side("supply", "s", css("own"))];
  const top = flexTop(bids);
  const bottom = Math.min(0, ...bids.map((bid) => bid.price));
  data.push({ type: "scatter", mode: "lines", name: `sold: ${show(sold, 1)} kW`, skipCsv: true, hoverinfo: "skip",
    x: [sold, sold], y: [bottom, top], line: { color: css("limit"), width: 1.6, dash: "dash" } });
  if (price !== null && sold > 0) {
    data.push({ type: "scatter", mode: "markers", name: "price", x: [sold], y: [price], marker: { size: 12, color: css("limit"), symbol: "diamond" },
      hovertemplate: `sold ${show(sold, 1)} kW, price ${show(price, 4)}<extra></extra>` });
  }
  return { data, layout: layout({ hovermode: "closest", xaxis: { ...title("quantity (kW)"), rangemode: "tozero" },
    yaxis: { ...title(`price (${safe(MONEY)}/kW and ${flexUnit()})`), range: [bottom - 0.02 * (top - bottom), top] } }) };
});

const flexColumn = (bids) => [
  { key: "who", label: "participant", values: bids.map((bid) => bid.who) },
  { key: "side", label: "side", values: bids.map((bid) => bid.side === "b" ? "buy" : "sell") },
  { key: "step", label: "step", digits: 0, values: bids.map((bid) => bid.step) },
  { key: "price", label: `price (${MONEY}/kW and ${flexUnit()})`, digits: 4, values: bids.map((bid) => bid.price) },
  { key: "quantity", label: "quantity (kW)", digits: 2, values: bids.map((bid) => bid.quantity) },
  { key: "accepted", label: "accepted (kW)", digits: 2, values: bids.map((bid) => bid.accepted) },
];

function tellFlexCurve() {
  const curves = flexCurves();
  const k = flexAt.place;
  if (!curves.labels.length) return "No auction was held.";
  const words = curves.rule[k] === "uniform price" ? " at" : "; supply and demand meet at";
  const price = curves.price_cleared[k] === null ? "" : `${words} ${show(curves.price_cleared[k], 4)} ${MONEY} per kW and ${flexUnit()}`;
  const place = curves.element[k] ? ` for ${curves.element[k]}` : "";
  return `${curves.labels[k]} (${DATA.timezone})${place}: ${FLEX.buyer} asked for ${show(curves.asked_kw[k], 1)} kW, `
    + `${show(curves.offered_kw[k], 1)} kW were offered and ${show(curves.sold_kw[k], 1)} kW sold${price}. `
    + `It paid ${show(curves.paid[k])} ${MONEY} (${curves.rule[k]}); welfare ${show(curves.welfare[k])} ${MONEY}.`;
}

function showFlexCurve(place) {
  const curves = flexCurves();
  flexAt.place = Math.min(Math.max(place, 0), Math.max(curves.labels.length - 1, 0));
  const k = flexAt.place;
  const [auctions, hours] = [byId("flex-auction"), byId("flex-hour")];
  const numbers = [...new Set(curves.auction)];
  auctions.replaceChildren(...numbers.map((number) => {
    const [first, last] = [curves.auction.indexOf(number), curves.auction.lastIndexOf(number)];
    const until = first === last ? "" : ` to ${curves.labels[last].slice(curves.labels[last].startsWith(curves.labels[first].slice(0, 10)) ? 11 : 0)}`;
    return new Option(`${curves.horizon[first]} no. ${number}: ${curves.labels[first]}${until}`, first);
  }));
  const mine = curves.auction.flatMap((number, n) => number === curves.auction[k] ? [n] : []);
  hours.replaceChildren(...mine.map((n) => new Option(curves.labels[n], n)));
  auctions.value = mine.length ? mine[0] : "";
  hours.value = mine.length ? k : "";
  auctions.disabled = hours.disabled = !mine.length;
  byId("flex-back").disabled = k === 0;
  byId("flex-next").disabled = k >= curves.labels.length - 1;
  byId("flex-curve-text").textContent = tellFlexCurve();
  const bids = curves.labels.length ? flexBids(k) : [];
  const beyond = Math.max(0, ...bids.map((bid) => bid.price));
  const cut = flexTop(bids) < beyond ? ` Bids up to ${show(beyond, 2)} lie above the end of the price axis.` : "";
  byId("flex-curve-note").textContent = (curves.ordered[k]
    ? "Demand in the order in which it was bid: its steps are taken one after the other, so a cheap step can stand before a dear one. Supply from the cheapest offer."
    : "Demand from the dearest step, supply from the cheapest offer.") + cut;
  drawChart("flex-curve");
  makeTable("flex-bids", flexColumn(bids), { name: "flex-bids.csv", empty: "No bid." });
}

function showFlexDay(day) {
  const days = flexDays();
  flexAt.day = Math.min(Math.max(day, 0), Math.max(days.length - 1, 0));
  const found = days[flexAt.day];
  const pick = byId("flex-day");
  pick.replaceChildren(...days.map((one, k) => new Option(one.day, k)));
  pick.disabled = !days.length;
  pick.value = days.length ? flexAt.day : "";
  byId("flex-day-text").textContent = found ? found.text : "No activation auction was held, so there is nothing to pay.";
  for (const part of ["payments", "rules"]) {
    const columns = found ? found[part] : [{ key: "none", label: "", values: [] }];
    makeTable(`flex-${part}`, columns, { name: `flex-${part}.csv` });
  }
}

const FLEX_EMPTY = {
  hours: "No line or transformer is above the threshold, neither before nor after.",
  deliveries: "Nothing was ordered.",
  contracts: "Nothing was reserved.",
  trades: "Nothing was traded until gate closure.",
  unmet: "Every need could be met with what was offered.",
};

function showFlexWay(name) {
  flexAt.way = name;
  document.querySelectorAll("button.way").forEach((button) => {
    button.classList.toggle("on", button.dataset.way === name);
    button.setAttribute("aria-pressed", String(button.dataset.way === name));
  });
  const settled = name === FLEX.settled ? "the way that was settled; bills and all other sections are of it" : "run beside the settled way, for comparison";
  byId("flex-way-text").textContent = `Shown: ${FLEX.labels[name]}, ${settled}.`;
  byId("flex-delivery-text").textContent = FLEX.delivery_texts[name];
  drawChart("flex-loading");
  for (const part of ["hours", "sellers", "deliveries", "contracts", "trades", "unmet"]) {
    makeTable(`flex-${part}`, FLEX[part][name], { name: `flex-${part}-${name}.csv`, empty: FLEX_EMPTY[part] });
  }
  byId("flex-unmet-note").hidden = !FLEX.unmet[name][0].values.length;
  showFlexCurve(flexCurves().pick);
  showFlexDay(0);
}

function prepareFlex() {
  document.querySelectorAll("button.way").forEach((button) => button.addEventListener("click", () => showFlexWay(button.dataset.way)));
  for (const id of ["flex-auction", "flex-hour"]) byId(id).addEventListener("change", (event) => showFlexCurve(Number(event.target.value)));
  byId("flex-back").addEventListener("click", () => showFlexCurve(flexAt.place - 1));
  byId("flex-next").addEventListener("click", () => showFlexCurve(flexAt.place + 1));
  byId("flex-scale").addEventListener("change", (event) => { flexAt.scale = event.target.value; showFlexCurve(flexAt.place); });
  byId("flex-day").addEventListener("change", (event) => showFlexDay(Number(event.target.value)));
  byId("flex-shown").textContent = FLEX.shown;
  showFlexWay(flexAt.way);
}
prepare.push(prepareFlex);
