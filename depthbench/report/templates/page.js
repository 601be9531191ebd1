"use strict";
(() => {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme || (prefersDark.matches ? "dark" : "light")) === "dark";
  const label = () => { button.textContent = isDark() ? "Light" : "Dark"; };
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    label();
  });
  prefersDark.addEventListener("change", label);
  button.hidden = false;
  label();

  // Expressions are interpreted, since the page's policy forbids to make code of text.
  const options = {
    mode: "vega-lite",
    renderer: "svg",
    actions: false,
    ast: true,
    defaultStyle: false,
    tooltip: { theme: "custom", disableDefaultStyle: true },
  };
  const embed = async (live, spec) => {
    await window.vegaEmbed(live, spec, options);
    return live.querySelector("svg").getBoundingClientRect().width;
  };
  // Names in shorter lines, legends in fewer columns, plots below one another.
  const narrow = (spec) => {
    const { letters, step, columns, config } = spec.usermeta.narrow;
    for (const name in config) spec.config[name] = { ...spec.config[name], ...config[name] };
    if (columns) spec.config.legend.columns = columns;
    if (spec.concat) spec.columns = 1;
    if (letters) spec.params[0].value = letters;
    if (step) spec.height = { step };
  };
  // Plots as wide as fits beside one another; those with a width of their own grow no wider.
  const fit = (spec, room) => {
    const views = spec.concat || [spec];
    const change = Math.floor(room / Math.min(spec.columns || 1, views.length));
    const size = spec.config.view;
    size.continuousWidth += change;
    size.discreteWidth += change;
    for (const view of views) if (view.width && change < 0) view.width += change;
  };
  const needsFit = (spec, room) => spec.width !== "container"
    && (room < 0 || (spec.concat && room > 8));
  const draw = async (figure) => {
    const spec = JSON.parse(figure.querySelector("script").textContent);
    const live = figure.querySelector(".live");
    const place = figure.clientWidth;
    if (place < 600) narrow(spec);
    live.style.minHeight = `${figure.querySelector(".static").clientHeight}px`;
    figure.classList.add("is-live"); // before it is drawn, so that its place has a width
    try {
      let room = place - await embed(live, spec);
      // Twice, since with the room for a plot that for its names may change.
      for (let tries = 0; tries < 2 && needsFit(spec, room); tries += 1) {
        fit(spec, room);
        room = place - await embed(live, spec);
      }
    } catch (error) {
      figure.classList.remove("is-live"); // what was drawn without scripts stays
      console.error(error);
    }
    live.style.minHeight = "";
  };
  const nearby = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      nearby.unobserve(entry.target);
      draw(entry.target);
    }
  }, { rootMargin: "400px" });
  document.querySelectorAll("figure.chart").forEach((figure) => nearby.observe(figure));

  const closed = [];
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details:not([open])").forEach((details) => {
      details.open = true;
      closed.push(details);
    });
  });
  window.addEventListener("afterprint", () => {
    while (closed.length) closed.pop().open = false;
  });
})();
