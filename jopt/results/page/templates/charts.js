// The charts: each a list of traces and a layout. What belongs to one setting has its number in meta.row or in customdata.
function curvesChart() {
  const curve = DATA.curves[state.metric];
  const magnitude = state.magnitude ?? curve.log;
  const drawn = shownRows().filter((i) => curve.lines[i]).reverse(); // the best on top
  const bands = curve.low && drawn.length <= FEW ? drawn.map((i) => band(curve, i)) : [];
  const last = Math.max(...drawn.map((i) => curve.steps[ROWS[i].group].at(-1)), 1);
  return {
    traces: [...bands, ...drawn.map((i) => line(curve, i))],
    layout: layoutOf({
      ...rungs(last),
      dragmode: coarse.matches ? false : "zoom",
      uirevision: `${state.metric} ${magnitude}`,
      xaxis: axisOf("step", { range: [0, last * 1.01], rangemode: "nonnegative" }),
      yaxis: valueAxis(curve.about, curve, magnitude),
    }),
  };
}

function line(curve, i) {
  const out = ROWS[i].state === "diverged";
  const pruned = ROWS[i].state === "pruned";
  const ends = curve.lines[i].findLastIndex((y) => y !== null);
  const sizes = curve.lines[i].map((_, k) => (k === ends ? 6 : 0)); // a dot where it was pruned
  return {
    type: "scatter",
    mode: pruned ? "lines+markers" : curve.lines[i].length > 1 ? "lines" : "markers",
    meta: { row: i, width: isBest(i) ? 3 : 1.4 },
    x: curve.steps[ROWS[i].group].slice(0, curve.lines[i].length),
    y: placed(curve.lines[i], curve),
    line: { color: colourOf(i), width: isBest(i) ? 3 : 1.4, dash: out ? "dot" : "solid" },
    marker: { color: colourOf(i), ...(pruned ? { size: sizes, line: { width: 0 } } : {}) },
    text: curve.lines[i].map(() => labelled(i)),
    hovertemplate: "%{text}<br>step %{x}: %{y:.4g}<extra></extra>",
  };
}

// A dotted line where settings were pruned, and above it how many train on; numbers that would touch are left out.
function rungs(last) {
  const color = colour("soft");
  let free = -Infinity;
  const told = DATA.rungs.filter(({ step }) => step >= free && (free = step + last / 12));
  return {
    shapes: DATA.rungs.map(({ step }) => ({
      type: "line", x0: step, x1: step, yref: "paper", y0: 0, y1: 1, layer: "below", line: { color, width: 1, dash: "dot" },
    })),
    annotations: told.map(({ step, left }) => ({
      x: step, y: 1, yref: "paper", yanchor: "bottom", text: String(left), showarrow: false, font: { size: 11, color },
    })),
  };
}

function band(curve, i) {
  const low = placed(curve.low[i] ?? [], curve);
  const steps = curve.steps[ROWS[i].group].slice(0, low.length);
  const high = placed(curve.high[i] ?? [], curve);
  return {
    type: "scatter",
    mode: "lines",
    meta: { row: i, width: 0 },
    x: [...steps, ...steps.slice().reverse()],
    y: [...high, ...low.slice().reverse()],
    fill: "toself",
    line: { color: colourOf(i), width: 0 },
    fillcolor: colourOf(i),
    opacity: 0.18,
    hoverinfo: "skip",
  };
}

function points(rows, axis, marker, more) {
  return {
    type: "scatter",
    mode: "markers",
    x: rows.map((i) => axis.at[i]),
    y: rows.map((i) => ROWS[i].score),
    customdata: rows,
    text: rows.map(labelled),
    marker: { size: 8, color: rows.map(colourOf), opacity: rows.map(() => 1), ...marker },
    hovertemplate: "%{text}<br>%{y:.4g}<extra></extra>",
    ...more,
  };
}

function responseChart(axis) {
  const rows = shownRows().filter((i) => axis.at[i] !== null);
  const of = (...states) => rows.filter((i) => states.includes(ROWS[i].state)).reverse(); // the best on top
  const [finished, pruned, lost] = [of("finished"), of("pruned"), of("diverged", "not finite")];
  const seeds = finished.length <= 60 && finished.some((i) => ROWS[i].low !== null);
  const spread = (to) => finished.map((i) => Math.abs((ROWS[i][to] ?? ROWS[i].score) - ROWS[i].score));
  const bars = { type: "data", array: spread("high"), arrayminus: spread("low"), thickness: 1, width: 0, color: colour("out") };
  const symbol = finished.map((i) => (isBest(i) ? "star" : "circle"));
  const size = finished.map((i) => (isBest(i) ? 15 : 8));
  const atEdge = lost.map(() => (DATA.mode === "min" ? 0.97 : 0.03));
  const without = { y: atEdge, yaxis: "y2", hovertemplate: "%{text}<br>no score<extra></extra>" };
  return {
    traces: [
      ...envelopes(axis),
      points(finished, axis, { symbol, size }, seeds ? { error_y: bars } : {}),
      points(pruned, axis, { symbol: "circle-open", color: colour("out") }, { hovertemplate: "%{text}<br>%{y:.4g} when pruned<extra></extra>" }),
      points(lost, axis, { symbol: "x", color: colour("out") }, without),
    ].filter((trace) => trace.x.length),
    layout: layoutOf({
      uirevision: "response",
      xaxis: axisOf(axis.name, ticksOf(axis)),
      yaxis: valueAxis(DATA.metric, DATA.score, DATA.score.log),
      yaxis2: { overlaying: "y", range: [0, 1], fixedrange: true, visible: false },
      ...suggested(axis),
    }),
  };
}

function ticksOf(axis) {
  const decades = Math.log10(Math.max(...axis.at) / Math.min(...axis.at.filter((x) => x !== null)));
  if (axis.kind === "log") return { type: "log", ...(decades < 2 ? { nticks: 3 } : {}) }; // eight labels between powers touch
  if (axis.kind === "linear") return { type: "linear" };
  return { type: "linear", tickvals: axis.ticks.map(([at]) => at), ticktext: axis.ticks.map(([, label]) => plain(label)) };
}

// A line for each group through the best score of each value, with a hole where there is none.
function envelopes(axis) {
  const rows = shownRows().filter((i) => axis.at[i] !== null); // the best first
  const groups = axis.joined.map((k) => rows.filter((i) => ROWS[i].group === k));
  return groups.filter((rows) => rows.length).map((rows) => {
    const best = new Map();
    rows.filter((i) => ROWS[i].state === "finished").forEach((i) => best.has(axis.at[i]) || best.set(axis.at[i], ROWS[i].score));
    const at = [...new Set(rows.map((i) => axis.at[i]))].sort((a, b) => a - b);
    const color = DATA.groups.length > 1 ? hue(ROWS[rows[0]].group) : colour("out");
    return { type: "scatter", mode: "lines", x: at, y: at.map((x) => best.get(x) ?? null), line: { color, width: 1.2 }, hoverinfo: "skip" };
  });
}

// The interval of the suggestion, and how many scores lie outside the picture.
function suggested(axis) {
  const [first] = axis.suggested;
  const place = (x) => (axis.kind === "log" ? Math.log10(x) : x);
  const [low, high] = DATA.score.range.map((x) => (DATA.score.log ? 10 ** x : x));
  const beyond = shownRows().filter((i) => ROWS[i].score !== null && (ROWS[i].score > high || ROWS[i].score < low)).length;
  const shapes = [];
  const annotations = [];
  if (first !== undefined) {
    const whole = { xref: "x", yref: "paper", y0: 0, y1: 1, layer: "below" };
    shapes.push({ ...whole, type: "rect", x0: first.low, x1: first.high, fillcolor: colour("accent"), opacity: 0.13, line: { width: 0 } });
    shapes.push({ ...whole, type: "line", x0: first.value, x1: first.value, line: { color: colour("accent"), width: 1.5, dash: "dash" } });
    const text = `${plain(first.group ? `${first.group}: ` : "")}suggested`;
    annotations.push({ x: place(first.value), y: 1, yref: "paper", yanchor: "bottom", text, showarrow: false, font: { color: colour("accent") } });
  }
  if (beyond) {
    const text = `${beyond} beyond the picture (double-click)`;
    annotations.push({ x: 1, y: 0, xref: "paper", yref: "paper", xanchor: "right", yanchor: "bottom", yshift: -60, text, showarrow: false, font: { size: 11, color: colour("soft") } });
  }
  const margin = { l: 56, r: 14, t: shapes.length ? 46 : 32, b: beyond ? 62 : 44 }; // beside titles and buttons
  return { shapes, annotations, margin };
}

function parallelChart() {
  const rows = shownRows().reverse();
  const names = [...DATA.axes.map((axis) => axis.name), DATA.metric];
  const signs = Math.max(8, Math.floor(70 / names.length)); // of a line of text under an axis
  const font = { size: 11, color: colour("soft") };
  const marks = [...DATA.axes.map((axis) => axis.marks), scoreMarks()];
  const labels = marks.flatMap((each, x) =>
    each.map(([y, label]) => ({ x, y, text: plain(label), xanchor: "right", xshift: -5, showarrow: false, bgcolor: colour("back"), borderpad: 0, font })),
  );
  return {
    traces: [...rows.map(passing).filter((trace) => trace.x.length), ...rows.map(path)],
    layout: layoutOf({
      uirevision: "parallel",
      selectdirection: "v",
      margin: { l: 64, r: 24, t: 32, b: 44 },
      xaxis: axisOf("", { tickvals: names.map((_, x) => x), ticktext: names.map((name) => wrapped(name, signs)), tickangle: 0, range: [-0.35, names.length - 0.85], gridcolor: colour("out"), fixedrange: true }),
      yaxis: { range: [-0.05, 1.05], visible: false, fixedrange: true },
      annotations: labels,
    }),
  };
}

// From axis to axis, and to the score; null where a setting has none.
const placesOf = (i) => [...DATA.axes.map((axis) => axis.place[i]), scorePlace(i)];

function path(i) {
  const y = placesOf(i);
  return {
    type: "scatter",
    mode: "lines+markers",
    meta: { row: i, width: isBest(i) ? 3 : 1 },
    x: y.map((_, x) => x),
    y,
    customdata: y.map(() => i),
    line: { color: colourOf(i), width: isBest(i) ? 3 : 1, dash: ROWS[i].state === "finished" ? "solid" : "dot" },
    marker: { size: 5, color: colourOf(i) },
    text: y.map(() => labelled(i)),
    hovertemplate: `%{text}<br>${plain(told(i).slice(ROWS[i].label.length + 2)).replace(/%/g, "&#37;")}<extra></extra>`,
  };
}

// The way of a setting past axes that its group does not have, dashed, as it has no value where it crosses them.
function passing(i) {
  const y = placesOf(i);
  const known = [...y.keys()].filter((x) => y[x] !== null);
  const jumps = known.slice(1).map((to, k) => [known[k], to]).filter(([from, to]) => to - from > 1);
  return {
    type: "scatter",
    mode: "lines",
    meta: { row: i, width: isBest(i) ? 3 : 1 },
    x: jumps.flatMap((jump) => [...jump, null]),
    y: jumps.flatMap(([from, to]) => [y[from], y[to], null]),
    line: { color: colourOf(i), width: isBest(i) ? 3 : 1, dash: "6px,3px" },
    hoverinfo: "skip",
  };
}

function scorePlace(i) {
  const [low, high] = DATA.score.range;
  if (ROWS[i].score === null || ROWS[i].state !== "finished") return null;
  const at = DATA.score.log ? Math.log10(Math.max(ROWS[i].score, DATA.score.floor ?? 0)) : ROWS[i].score;
  return Math.min(1, Math.max(0, (at - low) / (high - low)));
}

function scoreMarks() {
  const [low, high] = DATA.score.range;
  return [0, 0.25, 0.5, 0.75, 1].map((share) => {
    const at = low + share * (high - low);
    return [share, short(Number((DATA.score.log ? 10 ** at : at).toPrecision(3)))];
  });
}
