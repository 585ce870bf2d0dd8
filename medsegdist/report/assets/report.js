"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const root = document.documentElement;

  // Figures name the page's colors as var(--name); they are looked up whenever the colors change.
  const resolved = (value, style) => {
    if (typeof value === "string") {
      const name = /^var\((--[\w-]+)\)$/.exec(value);
      return name ? style.getPropertyValue(name[1]).trim() : value;
    }
    if (Array.isArray(value)) return value.map((one) => resolved(one, style));
    if (value !== null && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, resolved(one, style)]));
    }
    return value;
  };

  // What all figures have in common; axes stay where they are, and have faint lines.
  const axis = {
    fixedrange: true, zeroline: false, automargin: true, showline: true,
    gridcolor: "var(--line)", linecolor: "var(--line-strong)",
  };
  const font = { size: 12, color: "var(--ink-soft)", family: "var(--font)" };
  const template = { layout: {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font, xaxis: axis, yaxis: axis,
    margin: { l: 4, r: 14, t: 6, b: 34 }, showlegend: false, dragmode: false, hovermode: "closest",
    hoverlabel: {
      bgcolor: "var(--surface)", bordercolor: "var(--line-strong)", font: { ...font, color: "var(--ink)" },
    },
  } };

  const draw = (place) => {
    const { data, layout } = figures[place.id];
    const figure = resolved({ data, layout: { template, ...layout } }, getComputedStyle(root));
    try {
      Plotly.react(place, figure.data, figure.layout, { displayModeBar: false, responsive: true });
    } finally {
      place.removeAttribute("aria-busy");
    }
  };
  const places = () => [...document.querySelectorAll(".plot")];
  const folded = (place) => place.closest("details:not([open])") !== null;

  // One after the other, so that the page can be read and scrolled meanwhile, and always the one that is nearest to
  // what is on the screen: a jump to the end of a long page finds no empty boxes there.
  const away = (place) => {
    const box = place.getBoundingClientRect();
    return Math.max(box.top - innerHeight, -box.bottom, 0);
  };
  let waiting = false;
  const next = () => {
    waiting = false;
    const left = places().filter((place) => place.hasAttribute("aria-busy") && !folded(place));
    if (left.length === 0) return;
    later();
    const distances = left.map(away);
    draw(left[distances.indexOf(Math.min(...distances))]);
  };
  const later = () => {
    if (!waiting) setTimeout(next, 0);
    waiting = true;
  };
  later();

  for (const details of document.querySelectorAll("details")) details.addEventListener("toggle", later);
  const redraw = () => places().forEach((place) => place.hasAttribute("aria-busy") || draw(place));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

  // On paper everything is there, and dark on white.
  addEventListener("beforeprint", () => {
    root.classList.add("printing");
    for (const details of document.querySelectorAll("details:not([open])")) {
      details.open = true;
      details.dataset.printing = "";
    }
    places().forEach(draw);
  });
  addEventListener("afterprint", () => {
    root.classList.remove("printing");
    for (const details of document.querySelectorAll("details[data-printing]")) {
      details.open = false;
      delete details.dataset.printing;
    }
    redraw();
  });

  const byNumber = (one, other) => Number(one) - Number(other);
  const byText = (one, other) => one.localeCompare(other, "en", { numeric: true });
  for (const table of document.querySelectorAll("table.sortable")) {
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => {
      heading.querySelector("button").addEventListener("click", () => {
        const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        headings.forEach((other) => other.setAttribute("aria-sort", "none"));
        heading.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
        const value = (row) => row.cells[column].dataset.value;
        const rows = [...table.tBodies[0].rows];
        const known = rows.filter((row) => value(row) !== "");
        const compare = heading.classList.contains("text") ? byText : byNumber;
        known.sort((a, b) => sign * compare(value(a), value(b)));
        // What is missing comes last, either way.
        table.tBodies[0].append(...known, ...rows.filter((row) => value(row) === ""));
      });
    });
  }
})();
