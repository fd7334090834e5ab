/** Keeps the screen on while the device works: a phone that sleeps computes nothing. */
let wanted = false;
let lock: WakeLockSentinel | null = null;

/** Browsers take the lock away whenever the page is out of sight. */
async function apply(): Promise<void> {
  if (!("wakeLock" in navigator)) return;
  if (!wanted) {
    const held = lock;
    lock = null;
    await held?.release();
  } else if (document.visibilityState === "visible" && (lock === null || lock.released)) {
    // Refused when the battery is low: the device goes on as long as it is let.
    lock = await navigator.wakeLock.request("screen").catch(() => null);
  }
}

export function keepAwake(isWanted: boolean): void {
  if (wanted === isWanted) return;
  wanted = isWanted;
  void apply();
}

document.addEventListener("visibilitychange", () => void apply());
