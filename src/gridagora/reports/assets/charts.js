// Charts over time, duration curves, energy and gains.

const line = (name, x, y, colour, extra = {}) => ({
  type: "scatter", mode: x.length === 1 ? "lines+markers" : "lines", name, x, y, connectgaps: false, ...extra,
  line: { color: colour, width: 1.8, shape: "linear", ...(extra.line || {}) },
});
const caseStyle = (suffix) => suffix === ""
  ? { colour: css("with"), line: { width: 1.6 } }
  : { colour: css("without"), line: { width: 3.6 } }; // wide below narrow: both are seen where they agree
const limitLine = (name, value) => line(name, [DATA.time[0], DATA.time[DATA.time.length - 1]], [value, value], css("limit"), {
  line: { width: 1.8, dash: "dash" }, hoverinfo: "skip", skipCsv: true,
});

function markers(name, bins, y, symbol, colour) {
  if (!bins.length) return [];
  return [{
    type: "scatter", mode: "markers", name, x: bins.map((k) => DATA.time[k]), y: bins.map(y), hoverinfo: "name",
    marker: { symbol, size: 7, color: colour, line: { width: 0 } },
  }];
}

function loadingChart(kind, word) {
  const flow = DATA.flow[kind];
  if (!anyNumber(flow.value) && !anyNumber(flow.value_baseline)) return { empty: `This grid has no ${word} with a known loading.` };
  const limit = DATA.limits[kind];
  const data = [...CASES].reverse().map(([suffix, name]) => line(name, DATA.time, flow[`value${suffix}`], caseStyle(suffix).colour, {
    line: caseStyle(suffix).line, text: flow[`where${suffix}`].map(safe), hovertemplate: "%{y:.1f} % (%{text})",
  }));
  data.push(limitLine("limit", limit));
  data.push(...markers("limit broken", DATA.marks.broken[kind], (k) => flow.value[k] ?? limit, "triangle-up", css("limit")));
  data.push(...markers("power flow without solution", DATA.marks.not_converged, () => 0, "x", css("bad")));
  return { data, layout: layout({ xaxis: timeAxis(), yaxis: { ...title("loading (%)"), rangemode: "tozero" } }) };
}
chart("transformer", () => loadingChart("transformer", "transformer"), { overTime: true });
chart("line", () => loadingChart("line", "line"), { overTime: true });

function durationChart(kind, axis, limit) {
  const data = [...CASES].reverse().map(([suffix, name]) => {
    const curve = DATA.duration[kind + suffix];
    return line(name, curve.share, curve.value, caseStyle(suffix).colour, { line: caseStyle(suffix).line, hovertemplate: "%{y:.1f}" });
  });
  if (!data.some((trace) => trace.y.length)) return { empty: "No values are known." };
  if (limit !== undefined) data.push({ ...limitLine("limit", limit), x: [0, 100] });
  return { data, layout: layout({
    xaxis: { ...title("share of time (%)"), range: [0, 100], hoverformat: ".1f" },
    yaxis: { ...title(axis), rangemode: limit === undefined ? "normal" : "tozero" },
  }) };
}
chart("duration-transformer", () => durationChart("transformer", "loading (%)", DATA.limits.transformer));
chart("duration-line", () => durationChart("line", "loading (%)", DATA.limits.line));
chart("duration-import", () => durationChart("import", "import (kW)"));

function bandTraces(low, high, suffix, name) {
  const fill = css(suffix === "" ? "band" : "band-without");
  const style = caseStyle(suffix);
  return [
    line(`${name}, lowest`, DATA.time, low.value, style.colour, {
      line: { ...style.line, width: 0.6 * style.line.width }, legendgroup: suffix, showlegend: false, text: low.where, hovertemplate: low.template }),
    line(`${name}, highest`, DATA.time, high.value, style.colour, {
      line: { ...style.line, width: 0.6 * style.line.width }, fill: "tonexty", fillcolor: fill, legendgroup: suffix, showlegend: false,
      text: high.where, hovertemplate: high.template }),
    { type: "scatter", mode: "lines", name, x: [null], y: [null], legendgroup: suffix, skipCsv: true,
      line: { color: style.colour, width: 6 } },
  ];
}

chart("voltage", () => {
  const { vm_min: low, vm_max: high } = DATA.flow;
  if (!anyNumber(low.value)) return { empty: "No voltage is known: no power flow found a solution." };
  const data = [...CASES].reverse().flatMap(([suffix, name]) => {
    const side = (flow) => ({
      value: flow[`value${suffix}`], where: flow[`where${suffix}`].map(safe), template: "%{y:.4f} pu (bus %{text})" });
    return bandTraces(side(low), side(high), suffix, name);
  });
  const broken = { low: DATA.marks.broken.voltage_low, high: DATA.marks.broken.voltage_high };
  data.push(...markers("below the band", broken.low, (k) => low.value[k], "triangle-down", css("limit")));
  data.push(...markers("above the band", broken.high, (k) => high.value[k], "triangle-up", css("limit")));
  data.push(limitLine("limits", DATA.limits.vm_min), { ...limitLine("upper limit", DATA.limits.vm_max), showlegend: false });
  return { data, layout: layout({ xaxis: timeAxis(), yaxis: { ...title("voltage (pu)"), tickformat: ".3f" } }) };
}, { overTime: true });

chart("unbalance", () => {
  const flow = DATA.flow.unbalance;
  const data = [...CASES].reverse().map(([suffix, name]) => line(name, DATA.time, flow[`value${suffix}`], caseStyle(suffix).colour, {
    line: caseStyle(suffix).line, hovertemplate: "%{y:.2f} %" }));
  return { data, layout: layout({ xaxis: timeAxis(), yaxis: { ...title("unbalance (%)"), rangemode: "tozero" } }) };
}, { overTime: true });

chart("import", () => {
  const { import_mean: mean, import_high: high, import_low: low } = DATA.flow;
  if (!anyNumber(mean.value)) return { empty: "No exchange is known: no power flow found a solution." };
  const data = [...CASES].reverse().flatMap(([suffix, name]) => {
    if (DATA.bin === "period") {
      return [line(name, DATA.time, mean[`value${suffix}`], caseStyle(suffix).colour, {
        line: caseStyle(suffix).line, hovertemplate: "%{y:.1f} kW" })];
    }
    const side = (flow) => ({ value: flow[`value${suffix}`], where: [], template: "%{y:.1f} kW" });
    return bandTraces(side(low), side(high), suffix, name);
  });
  return { data, layout: layout({ xaxis: timeAxis(), yaxis: { ...title("import (kW)"), zeroline: true, zerolinewidth: 2 } }) };
}, { overTime: true });

const bars = (name, x, y, colour, extra = {}) => ({ type: "bar", name, x, y, marker: { color: colour, line: { width: 0 } }, ...extra });

chart("reverse", () => {
  const hours = DATA.reverse;
  const total = (values) => values.reduce((sum, value) => sum + value, 0);
  if (!anyNumber(DATA.flow.import_mean.value)) return { empty: "No exchange is known: no power flow found a solution." };
  if (total(hours.hours) + total(hours.hours_baseline) === 0) return { empty: "The feeder never feeds back into the upstream grid." };
  const clock = [...Array(24).keys()];
  const data = CASES.map(([suffix, name]) => bars(name, clock, hours[`hours${suffix}`], caseStyle(suffix).colour, { hovertemplate: "%{y:.2f} h" }));
  return { data, layout: layout({ barmode: "group", bargap: 0.25,
    xaxis: { ...title("hour of the day (local)"), dtick: 3, tick0: 0 }, yaxis: { ...title("reverse flow (h)") } }) };
});

chart("losses", () => {
  const flow = DATA.flow.losses;
  if (!anyNumber(flow.value)) return { empty: "No losses are known: no power flow found a solution." };
  const data = [...CASES].reverse().map(([suffix, name]) => line(name, DATA.time, flow[`value${suffix}`], caseStyle(suffix).colour, {
    line: caseStyle(suffix).line, hovertemplate: "%{y:.3f} kWh" }));
  return { data, layout: layout({ xaxis: timeAxis(), yaxis: { ...title(`losses (kWh per ${UNIT})`), rangemode: "tozero" } }) };
}, { overTime: true });

chart("energy", () => {
  const energy = DATA.energy;
  const area = (name, values, colour) => line(name, DATA.time, values, colour, {
    stackgroup: "up", line: { width: 0 }, fillcolor: colour, hovertemplate: "%{y:.2f} kWh" });
  const data = [
    area("own roof and battery", energy.own, css("own")),
    area("from other participants", energy.between, css("between")),
    area("from upstream", energy.upstream, css("upstream")),
    line("surplus sent upstream", DATA.time, energy.export.map((value) => -value), css("export"), {
      fill: "tozeroy", fillcolor: css("export"), line: { width: 0 }, hovertemplate: "%{y:.2f} kWh" }),
    line("solar production", DATA.time, energy.pv, css("ink"), { line: { width: 1.3, dash: "dot" }, hovertemplate: "%{y:.2f} kWh" }),
  ];
  return { data, layout: layout({ xaxis: timeAxis(), yaxis: title(`energy (kWh per ${UNIT})`) }) };
}, { overTime: true });

chart("use", () => {
  const total = (name) => DATA.energy[name].reduce((sum, value) => sum + (value || 0), 0);
  const rows = [
    ["household load", "load", "with"], ["electric vehicles", "ev", "with"], ["heat pumps", "heat_pump", "with"],
    ["battery charging", "charging", "with"], ["solar production", "pv", "own"], ["solar curtailed", "curtailed", "limit"],
    ["between participants", "between", "between"], ["from upstream", "upstream", "upstream"], ["sent upstream", "export", "export"],
  ].map(([name, key, colour]) => [name, total(key), css(colour)]).filter((row) => row[1] > 1e-6).reverse();
  const data = [{
    type: "bar", orientation: "h", name: "energy (kWh)", x: rows.map((row) => row[1]), y: rows.map((row) => row[0]),
    marker: { color: rows.map((row) => row[2]) }, text: rows.map((row) => show(row[1], 0)), textposition: "auto", hovertemplate: "%{x:,.1f} kWh<extra></extra>",
  }];
  return { data, layout: layout({ showlegend: false, hovermode: "closest", margin: { l: 60, r: 14, t: 8, b: 44 },
    xaxis: title("energy (kWh)"), yaxis: { ticks: "" } }) };
});

chart("self", () => {
  const names = [["self_sufficiency", "self-sufficiency"], ["self_consumption", "self-consumption"]];
  const percent = (value) => value === null ? null : 100 * value;
  const data = CASES.map(([suffix, name]) => {
    const values = names.map(([key]) => percent(DATA.shares[key + suffix]));
    return bars(name, names.map((row) => row[1]), values, caseStyle(suffix).colour, {
      text: values.map((value) => value === null ? "" : `${show(value, 1)} %`), textposition: "auto", hovertemplate: "%{y:.1f} %" });
  });
  if (!data.some((trace) => anyNumber(trace.y))) return { empty: "Nothing was consumed or produced." };
  return { data, layout: layout({ barmode: "group", hovermode: "closest", yaxis: { ...title("share (%)"), range: [0, 100] } }) };
});

chart("gains", () => {
  const columns = Object.fromEntries(DATA.tables.participants.map((column) => [column.key, column.values]));
  const { participant, gain } = columns;
  const few = participant.length <= 60;
  const colours = gain.map((value) => value >= 0 ? css("with") : css("limit"));
  const hover = participant.map((name, k) => `${safe(name)}<br>gain ${show(gain[k])} ${safe(MONEY)}<br>`
    + `with market ${show(columns.cost[k])}, without ${show(columns.cost_baseline[k])}`);
  const trace = { type: "bar", name: `gain (${MONEY})`, marker: { color: colours }, hovertext: hover, hovertemplate: "%{hovertext}<extra></extra>" };
  const axis = title(`gain (${safe(MONEY)})`);
  // ids may look like numbers: a category axis keeps them names
  if (few) {
    byId("chart-gains").style.height = `${Math.max(140, 80 + 20 * participant.length)}px`;
    return { data: [{ ...trace, orientation: "h", y: participant.map(safe), x: gain }], layout: layout({ hovermode: "closest",
      showlegend: false, margin: { l: 60, r: 14, t: 8, b: 44 }, xaxis: axis, yaxis: { type: "category", autorange: "reversed", ticks: "", dtick: 1, tickfont: { size: 12 } } }) };
  }
  return { data: [{ ...trace, x: participant.map((_, k) => k + 1), y: gain }], layout: layout({ hovermode: "closest", bargap: 0.1,
    showlegend: false, xaxis: title("participants, largest gain first"), yaxis: axis }) };
});
