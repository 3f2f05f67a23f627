// Where the milliseconds go: what the server measures, twice a second, and what this browser does.

const NAMES = {
  capture: "Capture",
  window: "Look-ahead",
  network: "Neural network",
  compose: "Drawing",
  playout: "Playout delay",
  encode: "Encoding",
  way: "On the way",
  jitter: "Jitter buffer",
  decode: "Decoding",
};
const EVERY_MS = 1000;
const WEAK_AFTER_MS = 2500; // the server reports twice a second
const SILENT_AFTER_MS = 8000;
const SLOW_FPS = 10; // the server sends 25
const SLOW_LOOKS = 3;
const BUSY_FOR_MS = 5000; // the server says so every two seconds

// Of several pairs of addresses that would do. Chromium names it in the transport, Firefox marks the pair.
function pairInUse(report) {
  const entries = [...report.values()];
  const id = entries.find((entry) => entry.type === "transport" && entry.selectedCandidatePairId)?.selectedCandidatePairId;
  return id ? report.get(id) : entries.find((entry) => entry.type === "candidate-pair" && (entry.selected ?? entry.nominated));
}

export class ReadOut {
  #places;
  #pc = null;
  #timer = 0;
  #heardAt = 0;
  #troubles = {}; // name -> whether it is there
  #slowLooks = 0;
  #busyAt = -Infinity;
  #onTrouble = null;
  #onSilence = null;
  #stages = {}; // the server's
  #held = null; // a server that does not measure stages still says how long it holds back
  #before = null; // what the counters of the last look were

  // places: {fps, delay, missed, bar, list}, elements to write into.
  constructor(places) {
    this.#places = places;
  }

  // onTrouble(troubles) when one comes or goes: {weak: the server has not been heard for a moment, busy: its machine is,
  // slow: few pictures come}; onSilence() when the server is heard no more.
  start(pc, onTrouble, onSilence) {
    if (this.#pc) return; // connected again after a weak moment
    this.#pc = pc;
    this.#onTrouble = onTrouble;
    this.#onSilence = onSilence;
    this.#heardAt = performance.now();
    this.#timer = setInterval(() => this.#look(), EVERY_MS);
  }

  // A message of the data channel; fields of newer or older servers may lack.
  hear(message) {
    this.#heardAt = performance.now();
    this.#stages = message.stages_ms ?? (message.draw_ms ? { compose: message.draw_ms } : {});
    this.#held = message.stages_ms ? null : message.playout_delay_ms ?? null;
    this.#places.missed.textContent = (message.frames_late ?? 0) + (message.frames_dropped ?? 0);
  }

  // The server says that its machine is busy.
  hearBusy() {
    this.#busyAt = performance.now();
    this.#trouble("busy", true);
  }

  stop() {
    clearInterval(this.#timer);
    this.#pc = this.#before = this.#held = null;
    this.#troubles = {};
    this.#slowLooks = 0;
    this.#busyAt = -Infinity;
    this.#stages = {};
    for (const place of ["fps", "delay", "missed"]) this.#places[place].textContent = "–";
    this.#places.bar.replaceChildren();
    this.#places.list.replaceChildren();
  }

  async #look() {
    const silentMs = performance.now() - this.#heardAt;
    if (silentMs > SILENT_AFTER_MS) return this.#onSilence();
    this.#trouble("weak", silentMs > WEAK_AFTER_MS);
    this.#trouble("busy", performance.now() - this.#busyAt < BUSY_FOR_MS);
    const pc = this.#pc;
    const report = await pc.getStats();
    if (pc !== this.#pc) return; // the call has ended meanwhile
    const own = {};
    for (const entry of report.values()) if (entry.type === "inbound-rtp" && entry.kind === "video") this.#video(entry, own);
    const trip = pairInUse(report)?.currentRoundTripTime; // there and back
    if (trip !== undefined) own.way = 1000 * trip;
    this.#write({ ...this.#stages, ...own }, own);
  }

  #trouble(name, there) {
    if (there === (this.#troubles[name] ?? false)) return;
    this.#troubles[name] = there;
    this.#onTrouble?.(this.#troubles);
  }

  #video(now, own) {
    const before = this.#before;
    this.#before = now;
    if (!before) return;
    const frames = now.framesDecoded - before.framesDecoded;
    const emitted = now.jitterBufferEmittedCount - before.jitterBufferEmittedCount;
    const fps = (frames * 1000) / (now.timestamp - before.timestamp);
    this.#places.fps.textContent = Math.round(fps);
    this.#slowLooks = fps < SLOW_FPS && !document.hidden ? this.#slowLooks + 1 : 0; // hidden pages decode less
    this.#trouble("slow", this.#slowLooks >= SLOW_LOOKS);
    if (emitted > 0) own.jitter = (1000 * (now.jitterBufferDelay - before.jitterBufferDelay)) / emitted;
    if (frames > 0 && now.totalDecodeTime !== undefined) own.decode = (1000 * (now.totalDecodeTime - before.totalDecodeTime)) / frames;
  }

  #write(all, own) {
    const shown = Object.keys(NAMES).filter((name) => Number.isFinite(all[name]));
    const sum = (values) => Object.values(values).filter(Number.isFinite).reduce((total, ms) => total + ms, 0);
    this.#places.delay.textContent = Math.round(this.#held === null ? sum(all) : this.#held + sum(own));
    this.#places.bar.replaceChildren(...shown.map((name) => {
      const part = document.createElement("span");
      part.dataset.stage = name;
      part.style.flexGrow = Math.max(all[name], 0.5);
      part.title = `${NAMES[name]}: ${all[name].toFixed(1)} ms`;
      return part;
    }));
    this.#places.list.replaceChildren(...shown.map((name) => {
      const row = document.createElement("div");
      const term = Object.assign(document.createElement("dt"), { textContent: NAMES[name] });
      const value = Object.assign(document.createElement("dd"), { textContent: `${all[name].toFixed(all[name] < 10 ? 1 : 0)} ms` });
      row.dataset.stage = name;
      row.append(term, value);
      return row;
    }));
  }
}
