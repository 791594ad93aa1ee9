// One range of time for all figures over time.
for (const button of document.querySelectorAll("button[data-range]")) {
  button.addEventListener("click", () => {
    for (const name of ["timeline", "goodput", "traffic"]) {
      const figure = document.getElementById(name);
      if (figure) {
        Plotly.relayout(figure, { "xaxis.range": JSON.parse(button.dataset.range) });
      }
    }
  });
}
