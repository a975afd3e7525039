// Keys: g and a letter goes to a page, Shift+Esc opens the stop dialog, ? lists them.
export function startKeys() {
  let waits = false;
  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && event.shiftKey) {
      // Otherwise the same key would close the dialog that it opens.
      event.preventDefault();
      document.getElementById("stop-all")?.click();
    } else if (event.key === "?") {
      document.getElementById("keys").showModal();
    } else if (event.key === ".") {
      document.dispatchEvent(new Event("holdtoggle"));
    } else if (waits) {
      document.querySelector(`[data-key="${CSS.escape(event.key)}"]`)?.click();
      waits = false;
    } else {
      waits = event.key === "g";
    }
  });
}
