// What is marked in one place is marked everywhere; then the charts are loaded.
const charts = [...document.querySelectorAll(".chart")];
let wanted = false;

function chartOf(element) {
  if (element.id === "curves") return curvesChart();
  return element.id === "parallel" ? parallelChart() : responseChart(DATA.axes[element.dataset.axis]);
}

function drawAll() {
  paintDots();
  if (!window.Plotly) return;
  for (const element of charts) {
    const { traces, layout } = chartOf(element);
    window.Plotly.react(element, traces, layout, CONFIG);
  }
  document.querySelectorAll("svg").forEach((drawn) => drawn.setAttribute("aria-hidden", "true")); // the table says it all
  light();
}

// Styles only, which is quick with hundreds of lines.
function light() {
  const any = anyLit();
  for (const element of charts) {
    const traces = element.data ?? [];
    const singles = traces.flatMap((trace, k) => (trace.meta?.row === undefined ? [] : [k]));
    if (singles.length) {
      const metas = singles.map((k) => traces[k].meta);
      const faint = ({ width }) => (width ? 0.12 : 0.05);
      const opacity = metas.map((meta) => (!any || isLit(meta.row) ? (meta.width ? 1 : 0.18) : faint(meta)));
      const width = metas.map((meta) => (any && isLit(meta.row) && meta.width ? 3.5 : meta.width));
      window.Plotly.restyle(element, { opacity, "line.width": width }, singles);
    }
    traces.forEach((trace, k) => {
      if (trace.meta?.row !== undefined || !trace.customdata) return;
      const opacity = trace.customdata.map((i) => (!any || isLit(i) ? 1 : 0.15));
      window.Plotly.restyle(element, { "marker.opacity": [opacity] }, [k]);
    });
  }
}

// Many events in one picture of the screen are one change.
function relight() {
  if (wanted) return;
  wanted = true;
  requestAnimationFrame(() => {
    wanted = false;
    paintRows();
    light();
  });
}

function point(i) {
  const hovered = i === -1 ? null : i;
  if (state.hovered === hovered) return;
  state.hovered = hovered;
  relight();
}

function mark(i) {
  if (i === -1) return;
  if (!state.marked.delete(i)) state.marked.add(i);
  relight();
}

function paintDots() {
  lines.forEach((line, i) => line.style.setProperty("--hue", colourOf(i)));
  const legend = byId("legend");
  if (!legend) return;
  const entry = (color, text) => {
    const [made, sign] = [document.createElement("span"), document.createElement("i")];
    sign.style.background = color;
    made.append(sign, text);
    return made;
  };
  const axis = byAxis();
  const states = new Set(ROWS.map((row) => row.state));
  legend.replaceChildren(
    ...(DATA.groups.length > 1 ? DATA.groups.map((name, k) => entry(hue(k), name)) : axis === null ? [] : scaleOf(axis, entry)),
    ...(isBest(0) ? [entry(colour("best"), "the best")] : []),
    ...(states.has("diverged") ? [entry(colour("out"), "diverged (dotted)")] : []),
  );
}

function scaleOf(axis, entry) {
  if (isNamed(axis)) return axis.ticks.map(([, label], k) => entry(hue(k), `${axis.name} ${label}`));
  const bar = document.createElement("span");
  bar.className = "scale";
  bar.style.background = `linear-gradient(to right, ${VIRIDIS.map((_, k) => viridis(k / (VIRIDIS.length - 1))).join(", ")})`;
  return [`${axis.name} ${axis.ends[0]}`, bar, axis.ends[1]].map((part) => {
    const made = document.createElement("span");
    made.append(part);
    return typeof part === "string" ? made : part;
  });
}

const rowOf = (event) => lines.indexOf(event.target.closest("tr")); // -1 between rows
const rowAt = (place) => place.data.meta?.row ?? place.customdata;

function listen() {
  const body = table.tBodies[0];
  body.addEventListener("mouseover", (event) => point(rowOf(event)));
  body.addEventListener("focusin", (event) => point(rowOf(event)));
  body.addEventListener("mouseleave", () => point(null));
  body.addEventListener("focusout", () => point(null));
  body.addEventListener("click", (event) => mark(rowOf(event)));
  table.tHead.addEventListener("click", (event) => {
    const button = event.target.closest("th button");
    if (button) sortBy(Number(button.dataset.column));
  });
  filters.forEach((field) => field.addEventListener("input", refilter));
  byId("clear").addEventListener("click", () => {
    filters.forEach((field) => (field.value = ""));
    state.box = null;
    refilter();
  });
  byId("unmark").addEventListener("click", () => {
    state.marked.clear();
    relight();
  });
  byId("metric")?.addEventListener("change", (event) => {
    state.metric = Number(event.target.value);
    state.magnitude = null;
    byId("magnitude").checked = DATA.curves[state.metric].log;
    drawAll();
  });
  byId("magnitude")?.addEventListener("change", (event) => {
    state.magnitude = event.target.checked;
    drawAll();
  });
  document.querySelectorAll(".copy").forEach((button) => button.addEventListener("click", () => copy(button)));
  scheme.addEventListener("change", drawAll);
  addEventListener("beforeprint", () => printing(true));
  addEventListener("afterprint", () => printing(false));
}

async function copy(button) {
  const code = button.parentElement.querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(code); // a page from a file may not write to the clipboard
    button.textContent = "Selected";
  }
}

function printing(on) {
  document.documentElement.toggleAttribute("data-print", on);
  drawAll();
  if (!on && window.Plotly) charts.forEach((element) => window.Plotly.relayout(element, { autosize: true })); // no paper's width
}

function listenTo(element) {
  element.on("plotly_hover", (event) => {
    const i = rowAt(event.points[0]);
    if (i === undefined) return;
    point(i);
    scrollTo(i);
  });
  element.on("plotly_unhover", () => point(null));
  element.on("plotly_click", (event) => {
    const i = rowAt(event.points[0]);
    if (i !== undefined) mark(i);
  });
  element.on("plotly_selected", (event) => {
    if (!event?.points?.length) return;
    state.box = new Set(event.points.map(rowAt).filter((i) => i !== undefined));
    setTimeout(refilter);
  });
}

async function unpacked(id) {
  const bytes = Uint8Array.from(atob(byId(id).textContent), (sign) => sign.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

async function load() {
  const script = document.createElement("script");
  script.textContent = await unpacked("plotly");
  document.head.append(script);
  drawAll();
  charts.forEach(listenTo);
}

// As wide as all rows need it, whichever are shown: else charts would jump when rows are filtered.
function holdWidth() {
  table.style.width = "min-content";
  byId("table").style.flexBasis = `${table.offsetWidth + 2}px`;
  table.style.width = "";
}

holdWidth();
if (byId("magnitude")) byId("magnitude").checked = DATA.curves[0].log;
listen();
paintRows();
drawAll();
load().then(
  () => (document.documentElement.dataset.ready = "charts"),
  (error) => {
    byId("trouble").textContent = `The charts could not be drawn (${error.message}); the table has all numbers.`;
    byId("trouble").hidden = false;
    document.documentElement.dataset.ready = "table";
  },
);
