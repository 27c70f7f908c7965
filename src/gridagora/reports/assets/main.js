// Draws the page and answers its buttons.

byId("unbalance-part").hidden = !anyNumber(DATA.flow.unbalance.value) && !anyNumber(DATA.flow.unbalance.value_baseline);
if (byId("unbalance-part").hidden) charts.delete("unbalance");
byId("import-note").textContent = DATA.bin === "period" ? "" : `The band spans the lowest to the highest power of each ${UNIT}.`;
byId("price-note").textContent = DATA.bin === "period"
  ? "The shaded band lies between the retailer's two prices. No price where nothing was traded."
  : `Prices are means weighted by energy; the band spans the lowest to the highest price of each ${UNIT}.`;

drawAll();
makeTable("participants", DATA.tables.participants, { name: "participants.csv" });
makeTable("invoices", DATA.tables.invoices, { name: "invoices.csv" });
makeTable("violations", DATA.tables.violations, { name: "violations.csv" });
prepareCurve();

for (const id of ["prices", "volumes"]) {
  const box = byId(`chart-${id}`);
  if (box.data) {
    box.on("plotly_click", (event) => {
      showCurve(curveAtTime(DATA.time[event.points[0].pointIndex]));
      byId("curve").scrollIntoView();
    });
  }
}

const redraw = () => { applyTheme(); drawAll(); };
byId("theme").addEventListener("click", () => { theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]; redraw(); });
systemDark.addEventListener("change", redraw);
byId("print").addEventListener("click", () => window.print());
window.addEventListener("beforeprint", () => { printing = true; redraw(); });
window.addEventListener("afterprint", () => { printing = false; redraw(); });
document.documentElement.dataset.ready = "yes";
