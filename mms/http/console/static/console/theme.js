// Before the page is painted: the colours that were chosen here last, else those of the system.
(() => {
  const names = ["auto", "light", "dark"];
  const labels = { auto: "Colours: system", light: "Colours: light", dark: "Colours: dark" };
  let chosen = "auto";
  try {
    chosen = localStorage.getItem("mms-console-colours") || "auto";
  } catch {
    // A browser that keeps nothing.
  }
  const apply = () => {
    if (!names.includes(chosen)) chosen = "auto";
    if (chosen === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosen;
  };
  apply();
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const name = () => { button.textContent = labels[chosen]; };
    name();
    button.addEventListener("click", () => {
      chosen = names[(names.indexOf(chosen) + 1) % names.length];
      apply();
      name();
      try {
        localStorage.setItem("mms-console-colours", chosen);
      } catch {
        // It holds for this page alone.
      }
    });
  });
})();
