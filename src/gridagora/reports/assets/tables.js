// Tables of the page: sorted by a click on the head, searched, paged, downloaded as CSV.

const PAGE_ROWS = 15;

function cellOf(column, row) {
  const cell = document.createElement("td");
  const value = column.values[row];
  if (column.digits === undefined) {
    cell.className = column.key === "participants" ? "text wide" : "text";
    cell.textContent = value;
  } else {
    cell.textContent = value === null ? "" : show(value, column.digits);
  }
  return cell;
}

function compareRows(column, down) {
  const sign = down ? -1 : 1;
  return (a, b) => {
    const [x, y] = [column.values[a], column.values[b]];
    if (x === y) return a - b;
    if (x === null || x === "") return 1; // what is not known comes last, whichever way it is sorted
    if (y === null || y === "") return -1;
    return sign * (typeof x === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true }));
  };
}

function makeTable(id, columns, { name, empty }) {
  const box = byId(`table-${id}`);
  box.replaceChildren();
  const count = columns[0].values.length;
  if (!count) {
    if (empty) box.append(Object.assign(document.createElement("p"), { textContent: empty, className: "caption" }));
    return;
  }
  const state = { rows: [...Array(count).keys()], page: 0, sorted: null, down: false, word: "", all: false };
  const bar = document.createElement("div");
  bar.className = "bar noprint";
  const search = Object.assign(document.createElement("input"), { type: "search", placeholder: "search", ariaLabel: "Search this table" });
  const note = Object.assign(document.createElement("span"), { className: "grow" });
  const button = (text, label, click) => {
    const made = Object.assign(document.createElement("button"), { type: "button", textContent: text, title: label, ariaLabel: label });
    made.addEventListener("click", click);
    return made;
  };
  const back = button("\u2190", "Page before", () => { state.page -= 1; draw(); });
  const next = button("\u2192", "Page after", () => { state.page += 1; draw(); });
  const csv = button("CSV", "All rows as CSV", () => download(name, [
    columns.map((column) => column.label), ...state.rows.map((row) => columns.map((column) => column.values[row]))]));
  bar.append(search, note, back, next, csv);

  const scroll = Object.assign(document.createElement("div"), { className: "scroll" });
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  const heads = columns.map((column) => {
    const cell = document.createElement("th");
    cell.scope = "col";
    if (column.digits === undefined) cell.className = "text";
    cell.append(button(column.label, `Sort by ${column.label}`, () => {
      state.down = state.sorted === column ? !state.down : column.digits !== undefined;
      state.sorted = column;
      state.page = 0;
      draw();
    }));
    head.append(cell);
    return cell;
  });
  const body = table.createTBody();
  scroll.append(table);
  box.append(bar, scroll);
  search.addEventListener("input", () => { state.word = search.value.toLowerCase(); state.page = 0; draw(); });

  function draw() {
    const hit = (row) => columns.some((column) => column.values[row] !== null && String(column.values[row]).toLowerCase().includes(state.word));
    state.rows = [...Array(count).keys()].filter((row) => !state.word || hit(row));
    if (state.sorted) state.rows.sort(compareRows(state.sorted, state.down));
    const pages = Math.max(1, Math.ceil(state.rows.length / PAGE_ROWS));
    state.page = Math.min(Math.max(state.page, 0), pages - 1);
    const first = state.page * PAGE_ROWS;
    const shown = state.rows.slice(first, first + PAGE_ROWS);
    body.replaceChildren(...shown.map((row) => {
      const line = document.createElement("tr");
      line.append(...columns.map((column) => cellOf(column, row)));
      return line;
    }));
    heads.forEach((cell, k) => cell.setAttribute("aria-sort", columns[k] !== state.sorted ? "none" : state.down ? "descending" : "ascending"));
    note.textContent = shown.length ? `${first + 1}\u2013${first + shown.length} of ${state.rows.length.toLocaleString("en-US")} rows` : "no row holds this";
    back.disabled = state.page === 0;
    next.disabled = state.page === pages - 1;
    back.hidden = next.hidden = pages === 1;
  }
  draw();
}
