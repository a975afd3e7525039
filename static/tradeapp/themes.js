// Theme and palette: chosen by the person, kept in their browser.
export function startThemes() {
  for (const name of ["theme", "palette"]) {
    const select = document.getElementById(name);
    if (!select) continue;
    select.value = document.documentElement.dataset[name] || (name === "theme" ? "auto" : "");
    select.addEventListener("change", () => {
      localStorage.setItem(name, select.value);
      document.documentElement.dataset[name] = select.value;
      document.dispatchEvent(new Event("themechange"));
    });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event("themechange")));
}
