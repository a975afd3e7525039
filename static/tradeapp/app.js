// The page's own script: brings the parts together once the document is there.
import { startAges } from "./ages.js";
import { startAllocation } from "./allocation.js";
import { startCharts } from "./charts.js";
import { startCommands } from "./commands.js";
import { startFigures } from "./figures.js";
import { startKeys } from "./keys.js";
import { isEdited, startLimits } from "./limits.js";
import { startSecurity } from "./security.js";
import { Stream } from "./stream.js";
import { startThemes } from "./themes.js";

const topics = document.body.dataset.topics.split(" ").filter(Boolean);
const stream = new Stream(topics);

startThemes();
startAges();
startFigures(stream);
startCharts(stream);
startCommands();
startAllocation();
startLimits();
startKeys();
startSecurity();
tellParts();
document.body.addEventListener("htmx:beforeRequest", (event) => {
  if (event.target.id === "risk-part" && isEdited()) event.preventDefault();
});
// A page of another account than the one shown by default asks for its parts.
const account = new URLSearchParams(location.search).get("account");
document.body.addEventListener("htmx:configRequest", (event) => {
  if (account && !event.detail.path.includes("account=")) event.detail.parameters.account = account;
});
document.addEventListener("holdtoggle", () => stream.hold(!stream.held));
stream.open();

// Parts of the page that htmx fetches listen for "stream:<topic>" on the body.
function tellParts() {
  const seen = new Map();
  let status = null;
  stream.on((topic, state) => {
    const name = topic.split(":")[0];
    const content = JSON.stringify(state.data);
    const is_first = !seen.has(topic);
    if (seen.get(topic) === content) return;
    seen.set(topic, content);
    if (name === "bot") {
      if (status !== null && status !== state.data.status) htmx.trigger(document.body, "stream:status");
      status = state.data.status;
    }
    if (!is_first) htmx.trigger(document.body, `stream:${name}`);
  });
}
