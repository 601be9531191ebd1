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
  const draw = async (figure) => {
    const spec = JSON.parse(figure.querySelector("script").textContent);
    const live = figure.querySelector(".live");
    if (figure.clientWidth < 480) {
      spec.config.legend.columns = 1;
      spec.config.axis.labelLimit = 120;
      if (spec.columns) { // plots below one another, each as wide as fits
        spec.columns = 1;
        spec.config.view.continuousWidth = figure.clientWidth - 110;
      }
    }
    live.style.minHeight = `${figure.querySelector(".static").clientHeight}px`;
    figure.classList.add("is-live"); // before it is drawn, so that its place has a width
    try {
      await window.vegaEmbed(live, spec, options);
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
