// The life of one trade: its five steps as a list, and its way through the tree of zones.

const TRADES = ZONES.trades;
const STEP_WORDS = {
  1: "The parties state it",
  2: "Local controllers verify the data",
  3: "The seller's side checks its grid and gate",
  4: "The buyer's side checks and accepts, the DSO approves",
  5: "A shortage asks the DSO for supply",
};
const MARKS = { stated: "\u2022", approved: "\u2713", rejected: "\u2717" };
const partyName = (name) => name === "upstream" ? "the bulk grid" : name;
let tradeAt = 0;

const SVG = byId("trade-tree").querySelector("svg").namespaceURI; // the page names no address, not even this one
const made = (tag, className, text) => Object.assign(document.createElement(tag), { className, textContent: text ?? "" });
const shape = (tag, values, text) => {
  const node = document.createElementNS(SVG, tag);
  Object.entries(values).forEach(([name, value]) => node.setAttribute(name, value));
  if (text !== undefined) node.textContent = text;
  return node;
};

function stepItem(step, trade) {
  const mine = trade.steps.filter((one) => one.step === step);
  const bad = mine.some((one) => one.decision === "rejected");
  const state = !mine.length ? "skipped" : bad ? "rejected" : step === 1 ? "stated" : "approved";
  const item = made("li", state);
  item.append(made("strong", "", STEP_WORDS[step]));
  if (!mine.length) {
    item.append(made("p", "quiet", trade.steps.some((one) => one.decision === "rejected" && one.step < step) ? "not reached" : "not needed"));
    return item;
  }
  for (const one of mine) {
    const row = made("p", one.decision);
    row.append(made("span", "mark", MARKS[one.decision]), made("b", "", ` ${one.by} `), made("span", "", `${one.decision === "rejected" ? "refused" : one.decision}: ${one.reason}`));
    item.append(row);
  }
  return item;
}

// ---- tree -------------------------------------------------------------------------------------------------------
const childrenOf = (z) => ZONES.parent.flatMap((parent, k) => parent === z ? [k] : []);
const TREE_WIDTH = 5; // of a wider tree only the zones on the way and around it are drawn
const LEAVES = ZONES.names.filter((_, z) => !childrenOf(z).length).length;

function shownZones(trade) {
  const way = trade.path.map((name) => ZONES.names.indexOf(name));
  if (LEAVES <= TREE_WIDTH) return new Set(ZONES.names.keys());
  const found = new Set(way);
  for (let z = way[0]; z >= 0; z = ZONES.parent[z]) found.add(z);
  return found;
}

function treePlaces(shown) {
  const places = new Map();
  let column = 0;
  const walk = (z, depth) => {
    const inner = childrenOf(z).filter((k) => shown.has(k));
    inner.forEach((k) => walk(k, depth + 1));
    const x = inner.length ? inner.reduce((sum, k) => sum + places.get(k).x, 0) / inner.length : column++;
    places.set(z, { x, depth });
  };
  walk(BULK, 0);
  return { places, columns: Math.max(column, 1), rows: Math.max(...[...places.values()].map((p) => p.depth)) + 1 };
}

// Names of zones often differ at their end: the middle gives way.
function clipped(text, length) {
  if (text.length <= length) return text;
  const tail = Math.ceil((length - 1) * 0.6);
  return `${text.slice(0, length - 1 - tail)}\u2026${text.slice(-tail)}`;
}

function tradeTree(trade) {
  const { places, columns, rows } = treePlaces(shownZones(trade));
  const [wide, high] = [Math.max(110, Math.min(220, 560 / columns)), 92];
  const box = { width: wide - 12, height: 34 };
  const svg = shape("svg", { viewBox: `0 0 ${Math.max(columns * wide, 420)} ${rows * high + 34}`, role: "img",
    "aria-label": `Way of the trade through the zones: ${partyName(trade.seller)} in ${trade.path.join(", ")}, to ${partyName(trade.buyer)}` });
  const at = (z) => ({ x: (places.get(z).x + 0.5) * wide, y: places.get(z).depth * high + 24 });
  const way = trade.path.map((name) => ZONES.names.indexOf(name));
  const refused = trade.steps.find((one) => one.decision === "rejected");
  const onWay = (a, b) => way.some((z, n) => n + 1 < way.length && ((z === a && way[n + 1] === b) || (z === b && way[n + 1] === a)));
  for (const z of places.keys()) {
    if (z === BULK) continue;
    const [from, to] = [at(z), at(ZONES.parent[z])];
    const bold = onWay(z, ZONES.parent[z]);
    svg.append(shape("line", { x1: from.x, y1: from.y, x2: to.x, y2: to.y, class: bold ? (trade.decision === "approved" ? "wire way" : "wire refused") : "wire" }));
  }
  for (const z of places.keys()) {
    const { x, y } = at(z);
    const colour = zoneColour(z);
    svg.append(shape("rect", { x: x - box.width / 2, y: y - box.height / 2, width: box.width, height: box.height, rx: 5, class: way.includes(z) ? "zone on" : "zone", stroke: colour }));
    svg.append(shape("text", { x, y: y + 4, "text-anchor": "middle", class: way.includes(z) ? "on" : "" }, clipped(zoneName(z), Math.floor(box.width / 7.6))));
    const hidden = childrenOf(z).filter((k) => !places.has(k)).length;
    if (hidden) svg.append(shape("text", { x: x + box.width / 2 + 8, y: y + 4 }, `and ${hidden} other ${hidden === 1 ? "zone" : "zones"} inside`));
    if (refused && refused.by === zoneName(z)) svg.append(shape("text", { x: x + box.width / 2 - 4, y: y - box.height / 2 + 6, class: "cross", "text-anchor": "middle" }, "\u2717"));
  }
  const party = (z, word, name, shift) => {
    const { x, y } = at(z);
    svg.append(shape("text", { x, y: y + box.height / 2 + 16 + shift, "text-anchor": "middle", class: "party" }, clipped(`${word} ${name}`, Math.floor(wide / 6))));
  };
  const same = way[0] === way[way.length - 1];
  party(way[0], "sells:", partyName(trade.seller), 0);
  party(way[way.length - 1], "buys:", partyName(trade.buyer), same ? 15 : 0);
  return svg;
}

// ---- selection --------------------------------------------------------------------------------------------------
function tellTrade(trade) {
  const end = trade.decision === "approved" ? "It stands." : "It was refused.";
  const after = trade.after ? ` In its place ${trade.after}.` : "";
  const before = trade.follows ? ` It stands in for ${trade.follows}.` : "";
  return `${trade.id}, ${trade.when} (${DATA.timezone}): ${partyName(trade.buyer)} buys ${show(trade.kwh, 3)} kWh from ${partyName(trade.seller)} at ${show(trade.price, 4)} ${MONEY}/kWh, `
    + `matched in the market of ${trade.market}. ${end}${after}${before}`;
}

function showTrade(k) {
  tradeAt = Math.min(Math.max(k, 0), TRADES.length - 1);
  const trade = TRADES[tradeAt];
  byId("trade-pick").value = tradeAt;
  byId("trade-back").disabled = tradeAt === 0;
  byId("trade-next").disabled = tradeAt === TRADES.length - 1;
  byId("trade-text").textContent = tellTrade(trade);
  byId("trade-steps").replaceChildren(...[1, 2, 3, 4, 5].map((step) => stepItem(step, trade)));
  byId("trade-tree").replaceChildren(tradeTree(trade));
}

prepare.push(() => {
  const pick = byId("trade-pick");
  if (!TRADES.length) {
    byId("trade-text").textContent = "Nothing was traded, so there is no trade to tell of.";
    pick.disabled = byId("trade-back").disabled = byId("trade-next").disabled = true;
    return;
  }
  for (const group of new Set(TRADES.map((trade) => trade.group))) {
    const part = Object.assign(document.createElement("optgroup"), { label: group });
    TRADES.forEach((trade, k) => {
      if (trade.group === group) part.append(new Option(`${trade.when.slice(5)}: ${partyName(trade.seller)} \u2192 ${partyName(trade.buyer)}, ${show(trade.kwh, 2)} kWh`, k));
    });
    pick.append(part);
  }
  pick.addEventListener("change", () => showTrade(Number(pick.value)));
  byId("trade-back").addEventListener("click", () => showTrade(tradeAt - 1));
  byId("trade-next").addEventListener("click", () => showTrade(tradeAt + 1));
  showTrade(0);
});
