// A legend that needs more lines than the figure foresees gets them on top: it must not squeeze what it explains.
const LEGEND_FORESEEN = 40;
let underWay = 0;
function awaited(drawing) {
  underWay += 1;
  document.body.setAttribute("aria-busy", "true");
  drawing.finally(() => {
    underWay -= 1;
    if (underWay === 0) {
      document.body.removeAttribute("aria-busy");
    }
  });
}
for (const plot of document.querySelectorAll(".js-plotly-plot")) {
  // The element's height counts: plotly forgets the layout's whenever the window changes, and fills its element.
  const place = plot.parentElement;
  const foreseen = parseFloat(place.style.height);
  let granted = foreseen;
  const makeRoom = () => {
    const legend = plot.querySelector(".legend");
    const needed = legend ? Math.ceil(legend.getBoundingClientRect().height) : 0;
    const height = foreseen + Math.max(0, needed - LEGEND_FORESEEN);
    // Never back: a legend that wraps differently once there is room would go to and fro.
    if (height > granted) {
      granted = height;
      place.style.height = `${height}px`;
      awaited(Plotly.Plots.resize(plot));
    }
  };
  makeRoom();
  plot.on("plotly_afterplot", makeRoom);
}

// One range of time for all figures over time.
for (const button of document.querySelectorAll("button[data-range]")) {
  button.addEventListener("click", () => {
    for (const name of ["timeline", "goodput", "traffic", "connectivity"]) {
      const figure = document.getElementById(name);
      if (figure && figure.layout) {
        Plotly.relayout(figure, { "xaxis.range": JSON.parse(button.dataset.range) });
      }
    }
  });
}
