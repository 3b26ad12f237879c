// Colours, which follow the page's, and what all charts have in common.
const VIRIDIS = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];
const LIGHT = ["#0072b2", "#d55e00", "#009e73", "#b5559a", "#7a5195", "#8c6d1f", "#444444"];
const DARK = ["#56b4e9", "#ff9d4d", "#2fd6a3", "#e9a3cb", "#b79cff", "#e6c84f", "#cccccc"];
const TITLE = 44; // signs that fit beside a chart
const scheme = matchMedia("(prefers-color-scheme: dark)");
const coarse = matchMedia("(pointer: coarse)");
const isPrinted = () => "print" in document.documentElement.dataset;
const isDark = () => scheme.matches && !isPrinted();
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function mixed(a, b, share) {
  const parts = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  const [from, to] = [parts(a), parts(b)];
  return `rgb(${from.map((x, k) => Math.round(x + share * (to[k] - x))).join(",")})`;
}

// Without the end that is lost on the page.
function viridis(share) {
  const at = (isDark() ? 0.25 + 0.75 * share : 0.85 * share) * (VIRIDIS.length - 1);
  const below = Math.min(Math.floor(at), VIRIDIS.length - 2);
  return mixed(VIRIDIS[below], VIRIDIS[below + 1], at - below);
}

const hue = (k) => (isDark() ? DARK : LIGHT)[k % LIGHT.length];
const byAxis = () => (DATA.groups.length === 1 && DATA.axes.length ? DATA.axes[0] : null);
const isNamed = (axis) => axis.kind === "listed" && axis.ticks.length <= FEW;

function colourOf(i) {
  if (ROWS[i].state === "diverged") return colour("out");
  if (isBest(i)) return colour("best");
  const axis = byAxis();
  if (axis === null || axis.place[i] === null) return hue(ROWS[i].group);
  return isNamed(axis) ? hue(axis.ticks.findIndex(([at]) => at === axis.at[i])) : viridis(axis.place[i]);
}

// Plotly reads some tags, and fills in what stands in %{}; names are the user's own.
const MEANING = { "&": "&amp;", "<": "&lt;", ">": "&gt;", "%{": "%&#123;" };
const plain = (text) => text.replace(/[&<>]|%\{/g, (sign) => MEANING[sign]);
const cut = (text) => (text.length > TITLE ? `${text.slice(0, TITLE)}…` : text);
// A name on several lines of at most so many signs where it has dots, strokes or spaces to break at.
function wrapped(name, signs) {
  const lines = [""];
  for (const part of name.match(/[^._\s/-]*[._\s/-]?/g)) {
    if (lines.at(-1) && lines.at(-1).length + part.length > signs) lines.push("");
    lines[lines.length - 1] += part;
  }
  return lines.map(plain).join("<br>");
}
const labelled = (i) => plain(ROWS[i].label).replace(/, /g, ROWS[i].label.length > 36 ? ",<br>" : ", ");

function axisOf(title, more) {
  const lines = { gridcolor: colour("grid"), zerolinecolor: colour("line"), linecolor: colour("line") };
  return { title: { text: plain(cut(title)), standoff: 8 }, automargin: true, exponentformat: more.type === "log" ? "power" : "none", ...lines, ...more };
}

function layoutOf(more) {
  const font = { color: colour("text"), size: 12.5, family: getComputedStyle(document.body).fontFamily };
  return {
    font,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 56, r: 14, t: 32, b: 44 },
    hovermode: "closest",
    hoverlabel: { bgcolor: colour("card"), bordercolor: colour("line"), font, align: "left", namelength: -1 },
    showlegend: false,
    dragmode: coarse.matches ? false : "select",
    selectdirection: "any",
    selections: [],
    width: isPrinted() ? WIDTH_OF_PAPER : undefined,
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("soft"), activecolor: colour("accent") },
    ...more,
  };
}

const CONFIG = {
  responsive: true,
  displaylogo: false,
  showSendToCloud: false,
  modeBarButtons: [["toImage", "zoom2d", "select2d", "resetScale2d"]], // nothing that would go out
  doubleClick: "reset+autosize",
  showTips: false,
};

function valueAxis(title, view, magnitude, more) {
  const own = magnitude === view.log;
  const frame = own ? { range: view.range, autorange: false } : { autorange: true };
  return axisOf(title, { type: magnitude ? "log" : "linear", nticks: magnitude ? 3 : 0, ...frame, ...more });
}

// Zero has no place on a logarithmic axis; it is drawn at the floor where there is one.
const placed = (values, view) => values.map((y) => (y !== null && y <= 0 && view.floor !== null ? view.floor : y));
