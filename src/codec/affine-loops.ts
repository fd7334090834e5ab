/** From values to codes and back: the loops of affine codecs in JavaScript. */
import { counterHash } from "../base/random.ts";
import type { Group } from "./affine-grid.ts";

/** Fractions of a code are drawn in so many parts of a step: 16 random bits each, two from one hash. */
export const parts = 0x1_0000;

/** Cuts off to a whole code. Math.min would compare floats, and take twice as long. */
function cutOff(place: number, last: number): number {
  const code = place | 0;
  if (code > last) return last;
  return code;
}

/** A place in parts of a step, to the code below or above it; as likely above as it is near to it. */
const draw = (place: number, drawn: number, last: number): number =>
  cutOff(((place | 0) + drawn) >> 16, last);

export function codes8(
  values: Float32Array,
  { from, to, at, step, minimum }: Group,
  codes: Uint8Array,
  seed: number | null,
): void {
  const perStep = 1 / step;
  const shift = at - from;
  if (seed === null) {
    for (let i = from; i < to; i++) {
      codes[i + shift] = cutOff(((values[i] as number) - minimum) * perStep + 0.5, 255);
    }
    return;
  }
  const perPart = parts / step;
  for (let i = from; i < to; i += 2) {
    const hash = counterHash(seed, i);
    const first = ((values[i] as number) - minimum) * perPart + 0.5;
    codes[i + shift] = draw(first, hash & 0xffff, 255);
    if (i + 1 === to) break;
    const second = ((values[i + 1] as number) - minimum) * perPart + 0.5;
    codes[i + 1 + shift] = draw(second, hash >>> 16, 255);
  }
}

export function codes4(
  values: Float32Array,
  { from, to, at, step, minimum }: Group,
  codes: Uint8Array,
  seed: number | null,
): void {
  const perStep = (seed === null ? 1 : parts) / step;
  let byte = at;
  // The half of a byte that no value needs repeats the last value.
  const last = to - 1;
  for (let i = from; i < to; i += 2) {
    const low = ((values[i] as number) - minimum) * perStep + 0.5;
    const high = ((values[i < last ? i + 1 : last] as number) - minimum) * perStep + 0.5;
    if (seed === null) {
      codes[byte++] = cutOff(low, 15) | (cutOff(high, 15) << 4);
    } else {
      const hash = counterHash(seed, i);
      codes[byte++] = draw(low, hash & 0xffff, 15) | (draw(high, hash >>> 16, 15) << 4);
    }
  }
}

export function values8(
  codes: Uint8Array,
  { from, to, at, step, minimum }: Group,
  values: Float32Array,
): void {
  const shift = at - from;
  for (let i = from; i < to; i++) values[i] = minimum + (codes[i + shift] as number) * step;
}

export function values4(
  codes: Uint8Array,
  { from, to, at, step, minimum }: Group,
  values: Float32Array,
): void {
  let byte = at;
  for (let i = from; i < to; i += 2) {
    const pair = codes[byte++] as number;
    values[i] = minimum + (pair & 15) * step;
    if (i + 1 < to) values[i + 1] = minimum + (pair >> 4) * step;
  }
}
