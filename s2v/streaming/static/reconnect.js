// When to begin a call again that was lost: soon at first, later and later, not for ever.

const FIRST_MS = 1000;
const LONGEST_MS = 15000;
const STEADY_MS = 10000; // a call that lasted so long had come about
const GIVE_UP_AFTER_MS = 600000; // a tab that somebody forgot takes no place in the morning

export class Reconnect {
  #pauseMs = FIRST_MS;
  #lostAt = null;
  #liveAt = null;
  #timer = 0;
  #attempt = null;

  constructor() {
    window.addEventListener("online", () => this.#go());
  }

  // The call is on (again).
  live() {
    this.#liveAt = performance.now();
  }

  // Have `attempt` called once, later; returns in how many seconds, or null where it is time to give up.
  again(attempt) {
    const now = performance.now();
    if (this.#liveAt !== null && now - this.#liveAt > STEADY_MS) this.stop();
    this.#liveAt = null;
    this.#lostAt ??= now;
    if (now - this.#lostAt > GIVE_UP_AFTER_MS) {
      this.stop();
      return null;
    }
    const waitMs = this.#pauseMs * (0.75 + 0.5 * Math.random()); // not all pages of a server at once
    this.#pauseMs = Math.min(2 * this.#pauseMs, LONGEST_MS);
    this.#attempt = attempt;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#go(), waitMs);
    return Math.ceil(waitMs / 1000);
  }

  // The visitor has hung up, or begins anew.
  stop() {
    clearTimeout(this.#timer);
    this.#attempt = this.#lostAt = this.#liveAt = null;
    this.#pauseMs = FIRST_MS;
  }

  #go() {
    clearTimeout(this.#timer);
    const attempt = this.#attempt;
    this.#attempt = null;
    attempt?.();
  }
}
