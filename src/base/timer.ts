/** Timers that are never early, over those of a platform, which may be. */

/** A platform's clock and timers; both count milliseconds. */
export interface PlatformTimers<T> {
  now(): number;
  set(fire: () => void, ms: number): T;
  clear(timer: T): void;
}

/** The longest that platforms wait: a delay beyond 31 bits they take for none. */
const msMax = 2 ** 31 - 1;

/** What calls `fire` once after so many milliseconds, never early; its answer cancels that. */
export const timerOn =
  <T>({ now, set, clear }: PlatformTimers<T>) =>
  (delayMs: number, fire: () => void): (() => void) => {
    const dueMs = now() + delayMs;
    const wait = (leftMs: number): T => set(onTimer, Math.min(Math.ceil(leftMs), msMax));
    const onTimer = (): void => {
      // Platforms count whole milliseconds of another clock, and browsers blur both.
      const leftMs = dueMs - now();
      if (leftMs > 0) timer = wait(leftMs);
      else fire();
    };
    let timer = wait(delayMs);
    return () => clear(timer);
  };
