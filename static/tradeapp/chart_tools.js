// What every plot needs: its layout, its colours, and the words where there is nothing to draw. Imports nothing, because
// the report that is one file carries it along.
export function template(element) {
  const axis = { gridcolor: colour("--grid"), zeroline: false, linecolor: colour("--line"), tickfont: { color: colour("--faint"), size: 11 }, automargin: true };
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { family: "Inter, sans-serif", size: 12, color: colour("--text") },
    margin: { l: 56, r: 12, t: 8, b: 28 }, hovermode: "x unified", dragmode: "pan", uirevision: element.dataset.hours ?? "",
    hoverlabel: { bgcolor: colour("--raised"), bordercolor: colour("--line"), font: { color: colour("--text"), size: 12 } },
    showlegend: false,
    xaxis: { ...axis, type: "date", showspikes: true, spikemode: "across", spikethickness: 1, spikedash: "solid", spikecolor: colour("--faint") },
    yaxis: { ...axis, side: "left" },
  };
}

export function empty(element, words) {
  let note = element.querySelector(".chart-empty");
  if (!note) {
    note = document.createElement("p");
    note.className = "chart-empty";
    element.append(note);
  }
  note.textContent = words;
}

export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

export function show(element, traces, layout) {
  element.querySelector(".chart-empty")?.remove();
  return Plotly.react(element, traces, layout, { displayModeBar: false, responsive: true, displaylogo: false });
}
