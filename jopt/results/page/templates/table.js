// The table: sorted by buttons, filtered by fields, its rows marked.
const table = byId("settings");
const lines = [...table.tBodies[0].rows];
const filters = [...table.querySelectorAll(".filters input, .filters select")];
const NUMBER = "([-+]?(?:\\d+\\.?\\d*|\\.\\d+)(?:e[-+]?\\d+)?)";

// A filter's text as a test of a value; null where it can not be understood.
function numberTest(text) {
  const between = new RegExp(`^${NUMBER}\\s*\\.\\.\\s*${NUMBER}$`, "i").exec(text);
  if (between) return (x) => x !== null && x >= Number(between[1]) && x <= Number(between[2]);
  const compared = new RegExp(`^(<=|>=|<|>|=)?\\s*${NUMBER}$`, "i").exec(text);
  if (!compared) return null;
  const limit = Number(compared[2]);
  switch (compared[1]) {
    case "<": return (x) => x !== null && x < limit;
    case "<=": return (x) => x !== null && x <= limit;
    case ">": return (x) => x !== null && x > limit;
    case ">=": return (x) => x !== null && x >= limit;
    default: return (x) => x !== null && Math.abs(x - limit) <= 0.005 * Math.abs(limit); // as it is shown, in three digits
  }
}

function testOf(field) {
  const text = field.value.trim();
  const { kind } = DATA.columns[field.dataset.column];
  if (text === "") return () => true;
  if (kind === "number") return numberTest(text);
  if (kind === "choice") return (x) => x === field.value;
  return (x) => x !== null && String(x).toLowerCase().includes(text.toLowerCase());
}

function refilter() {
  const tests = [];
  for (const field of filters) {
    const test = testOf(field);
    field.setAttribute("aria-invalid", test === null);
    if (test !== null) tests.push([DATA.columns[field.dataset.column].values, test]);
  }
  lines.forEach((line, i) => {
    const inBox = state.box === null || state.box.has(i);
    state.shown[i] = inBox && tests.every(([values, test]) => test(values[i]));
    line.hidden = !state.shown[i];
  });
  const count = shownRows().length;
  const all = count === ROWS.length;
  const boxed = state.box === null ? "" : ", chosen in a chart";
  byId("count").textContent = `${all ? "" : `${count} of `}${ROWS.length} setting${ROWS.length === 1 ? "" : "s"}${boxed}`;
  byId("clear").hidden = all && filters.every((field) => field.value === "");
  drawAll();
}

// What has no value stands last, whatever the order.
function compared(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  return sign * (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
}

function sortBy(column) {
  const heads = [...table.tHead.rows[0].cells].slice(1);
  const sign = heads[column].getAttribute("aria-sort") === "ascending" ? -1 : 1;
  const { values } = DATA.columns[column];
  const order = [...lines.keys()].sort((a, b) => compared(values[a], values[b], sign) || a - b);
  heads.forEach((head) => head.removeAttribute("aria-sort"));
  heads[column].setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
  table.tBodies[0].append(...order.map((i) => lines[i]));
}

function paintRows() {
  lines.forEach((line, i) => {
    line.classList.toggle("lit", isLit(i));
    line.classList.toggle("marked", state.marked.has(i));
    line.querySelector("button").setAttribute("aria-pressed", state.marked.has(i));
  });
  byId("unmark").hidden = state.marked.size === 0;
  byId("readout").textContent = state.hovered === null ? [...state.marked].map(told).join(" | ") : told(state.hovered);
}

function scrollTo(i) {
  const box = table.closest(".scroll");
  const [frame, line] = [box.getBoundingClientRect(), lines[i].getBoundingClientRect()];
  const head = table.tHead.getBoundingClientRect().height;
  if (line.top < frame.top + head) box.scrollTop += line.top - frame.top - head;
  if (line.bottom > frame.bottom) box.scrollTop += line.bottom - frame.bottom;
}
