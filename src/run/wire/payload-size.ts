/** How large payloads are that only measure a link. */

/**
 * Size of a payload in bytes. A rate is that of what arrives after the first 16 KiB (`estimates.ts`), and
 * clocks and whoever looks at them are some milliseconds late. So 64 KiB tell the rate of links up to
 * 50 Mbit/s, and 256 KiB that of links up to 200; of what is faster, they tell that it is fast. On a slow link
 * half of that has to do: it may carry payloads a fiftieth of the time, and the larger they are the later it shows that it has
 * become another one.
 */
export const payloadBytesMin = 32 * 1024;
export const payloadBytesMax = 256 * 1024;
/** For a link of which nothing is known: 0.1 s at 10 Mbit/s, and enough for 100. */
const payloadBytesFirst = 128 * 1024;
/** What is sent on a link whose rate is known takes so long, within the limits. */
const payloadMs = 100;

/** How much to send on a link that was seen to carry so much. */
export const payloadBytes = (bytesPerMs: number | null): number =>
  bytesPerMs === null
    ? payloadBytesFirst
    : Math.round(Math.min(payloadBytesMax, Math.max(payloadBytesMin, payloadMs * bytesPerMs)));
