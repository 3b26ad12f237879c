// What the page was given, and what its parts share. A setting goes by its number: its place in ROWS, the best first.
const byId = (id) => document.getElementById(id);
const DATA = JSON.parse(byId("data").textContent);
const ROWS = DATA.rows;
const FEW = 7; // lines whose bands over seeds can be told apart
const WIDTH_OF_PAPER = 680;

const state = {
  shown: ROWS.map(() => true), // whether the filters let a setting through
  marked: new Set(), // by a click, until another one
  hovered: null, // pointed at, or reached with the keyboard
  box: null, // the settings inside the box that was drawn in a chart
  metric: 0, // whose curves are shown
  magnitude: null, // how; null: as the metric wants it
};

const isLit = (i) => state.hovered === i || state.marked.has(i);
const anyLit = () => state.hovered !== null || state.marked.size > 0;
const shownRows = () => [...ROWS.keys()].filter((i) => state.shown[i]);
const isBest = (i) => i === 0 && ROWS[0].state === "finished" && ROWS.length > 1;

// A number in four digits, "3.2e-5" rather than "0.000032".
function short(x) {
  if (x === null) return "";
  const size = Math.abs(x);
  if (size === 0 || (size >= 1e-3 && size < 1e6)) return String(Number(x.toPrecision(4)));
  const [digits, power] = x.toExponential(3).split("e");
  return `${Number(digits)}e${Number(power)}`;
}

function told(i) {
  const row = ROWS[i];
  const score = row.score === null ? "no score" : `${DATA.metric} ${short(row.score)}`;
  const seeds = row.low === null ? "" : ` (seeds ${short(row.low)} to ${short(row.high)})`;
  return `${row.label}: ${score}${seeds}, ${row.state}`;
}
