/**
 * Units. Inside, time is milliseconds, size is bytes, rate is bytes per
 * millisecond; people read and write Mbit/s, seconds and MB.
 */

/** Mbit/s to bytes per millisecond: 1 Mbit/s carries 125 bytes in a millisecond. */
export const bytesPerMsOfMbit = (mbitPerSecond: number): number => mbitPerSecond * 125;
/** Bytes per millisecond to Mbit/s. */
export const mbitOfBytesPerMs = (bytesPerMs: number): number => bytesPerMs / 125;

/** "812 B", "14.2 kB", "3.1 MB": decimal units, three digits at most. */
export function formatBytes(bytes: number): string {
  return scaled(bytes, ["B", "kB", "MB", "GB", "TB"]);
}

/** "812", "14.2 k", "3.1 M": counts of operations or parameters. */
export function formatCount(count: number): string {
  return scaled(count, ["", "k", "M", "G", "T"]).trim();
}

/** "0.42 ms", "180 ms", "12.3 s", "4 min 10 s". */
export function formatMs(ms: number): string {
  if (!Number.isFinite(ms)) return "?";
  if (ms < 1) return `${ms.toFixed(2)} ms`;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${ms.toFixed(0)} ms`;
  if (ms < 120_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** "34.2 Mbit/s" from bytes per millisecond; "unlimited" for an unbounded rate. */
export function formatRate(bytesPerMs: number): string {
  if (!Number.isFinite(bytesPerMs)) return "unlimited";
  const mbit = mbitOfBytesPerMs(bytesPerMs);
  return `${mbit < 10 ? mbit.toFixed(2) : mbit.toFixed(1)} Mbit/s`;
}

/** "1/4" for 0.25, "0.3" for what is no unit fraction. */
export function formatShare(share: number): string {
  const inverse = 1 / share;
  return inverse > 1 && Math.abs(inverse - Math.round(inverse)) < 1e-9
    ? `1/${Math.round(inverse)}`
    : String(share);
}

/** "97.66 %" from 0.9766. */
export const formatPercent = (share: number): string => `${(100 * share).toFixed(2)} %`;

function scaled(value: number, units: readonly string[]): string {
  let unit = 0;
  let rest = value;
  while (rest >= 999.5 && unit < units.length - 1) {
    rest /= 1000;
    unit++;
  }
  const digits = unit === 0 || rest >= 99.95 ? 0 : 1;
  return `${rest.toFixed(digits)} ${units[unit]}`;
}
