// Draws the page and answers its buttons.

byId("unbalance-part").hidden = !anyNumber(DATA.flow.unbalance.value) && !anyNumber(DATA.flow.unbalance.value_baseline);
if (byId("unbalance-part").hidden) charts.delete("unbalance");
byId("import-note").textContent = DATA.bin === "period" ? "" : `The band spans the lowest to the highest power of each ${UNIT}.`;

drawAll();
makeTable("participants", DATA.tables.participants, { name: "participants.csv" });
makeTable("invoices", DATA.tables.invoices, { name: "invoices.csv" });
makeTable("violations", DATA.tables.violations, { name: "violations.csv" });
prepare.forEach((step) => step());

const redraw = () => { applyTheme(); drawAll(); };
byId("theme").addEventListener("click", () => { theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]; redraw(); });
systemDark.addEventListener("change", redraw);
byId("print").addEventListener("click", () => window.print());
window.addEventListener("beforeprint", () => { printing = true; redraw(); });
window.addEventListener("afterprint", () => { printing = false; redraw(); });
document.documentElement.dataset.ready = "yes";
