// Active seconds: time counts up to IDLE seconds behind the last input, and only while the page is
// seen. What a reader spends thinking counts, what they spend at lunch does not.
export const IDLE = 30;

export class Stopwatch {
  /** @param {() => number} now seconds */
  constructor(now = () => performance.now() / 1000) {
    this.now = now;
    this.visible = true;
    this.restart();
  }

  /** Begin anew, as if there was an input just now. */
  restart() {
    this.seconds = 0;
    this.counted = this.now();
    this.until = this.counted + IDLE;
  }

  /** There was an input. */
  touch() {
    this.settle();
    this.until = this.now() + IDLE;
  }

  /** The page is hidden or seen again. */
  show(visible) {
    this.settle();
    this.visible = visible;
    if (visible) this.until = this.now() + IDLE;
  }

  /** Seconds since this was asked last. */
  take() {
    this.settle();
    const seconds = this.seconds;
    this.seconds = 0;
    return seconds;
  }

  settle() {
    const now = this.now();
    if (this.visible) this.seconds += Math.max(0, Math.min(now, this.until) - this.counted);
    this.counted = now;
  }
}
