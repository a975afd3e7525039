// The socket: follows topics, rebuilds each from its snapshot and deltas, asks again when something is missing.
const RETRY_MS = [500, 1000, 2000, 5000];
const SILENCE_MS = 25000;

export class Stream {
  constructor(topics) {
    this.topics = topics;
    this.states = new Map();
    this.listeners = [];
    this.tries = 0;
    this.held = false;
    this.heardAt = 0;
    setInterval(() => this.watch(), 2000);
  }

  on(listener) {
    this.listeners.push(listener);
  }

  open() {
    if (!this.topics.length) return this.show("no", "no stream");
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}/ws/stream/`);
    this.heardAt = Date.now();
    this.socket.onopen = () => {
      this.tries = 0;
      this.send({ type: "subscribe", topics: this.topics });
      this.show("yes", "up to date");
    };
    this.socket.onmessage = (event) => this.hear(JSON.parse(event.data));
    this.socket.onclose = (event) => this.closed(event.code);
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  hear(message) {
    this.heardAt = Date.now();
    if (message.type === "snapshot") {
      this.keep(message.topic, message.seq, message.data);
    } else if (message.type === "delta") {
      const state = this.states.get(message.topic);
      if (state && message.seq <= state.seq && message.base !== state.seq) return;
      if (!state || state.seq !== message.base) return this.ask([message.topic]);
      this.keep(message.topic, message.seq, apply(state.data, message.data));
    } else if (message.type === "heartbeat") {
      const behind = Object.entries(message.data.versions).filter(([topic, seq]) => (this.states.get(topic)?.seq ?? -1) < seq);
      if (behind.length) this.ask(behind.map(([topic]) => topic));
    } else if (message.type === "status") {
      if (message.data.degraded) this.show("wait", `degraded: ${message.data.parts.join(", ")}`);
      else this.show("yes", "up to date");
    }
  }

  ask(topics) {
    this.send({ type: "snapshot", topics });
  }

  keep(topic, seq, data) {
    const state = { seq, data };
    this.states.set(topic, state);
    if (this.held) return;
    for (const listener of this.listeners) listener(topic, state);
    // Which version the page shows now, for whoever wants to compare.
    document.documentElement.dataset[`seq${topic.split(":")[0]}`] = String(seq);
  }

  hold(held) {
    this.held = held;
    this.show(held ? "wait" : "yes", held ? "held by you" : "up to date");
    if (!held) for (const [topic, state] of this.states) for (const listener of this.listeners) listener(topic, state);
  }

  // A half-open connection stays silent: the server beats every ten seconds.
  watch() {
    if (this.socket?.readyState === WebSocket.OPEN && Date.now() - this.heardAt > SILENCE_MS) this.socket.close();
  }

  closed(code) {
    if (code === 4401) {
      this.show("no", "signed out");
      location.assign(`/login/?next=${encodeURIComponent(location.pathname)}`);
      return;
    }
    this.show("no", "reconnecting");
    const wait = RETRY_MS[Math.min(this.tries, RETRY_MS.length - 1)];
    this.tries += 1;
    setTimeout(() => this.open(), wait * (0.75 + Math.random() / 2));
  }

  show(fresh, words) {
    const dot = document.getElementById("stream-dot");
    if (!dot) return;
    dot.dataset.fresh = fresh;
    document.getElementById("stream-state").textContent = words;
  }
}

// Paths are lists of keys; what is not touched is shared with the state before.
export function apply(before, delta) {
  const after = structuredClone(before);
  for (const path of delta.drop) delete parent(after, path)[path.at(-1)];
  for (const [path, value] of delta.set) parent(after, path)[path.at(-1)] = value;
  return after;
}

function parent(tree, path) {
  return path.slice(0, -1).reduce((node, key) => node[key], tree);
}
