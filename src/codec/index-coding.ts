/**
 * Places among `count` values as bytes: ascending indices, as many as both ends know.
 *
 * Few places are coded by Elias and Fano's method (Elias, "Efficient storage and retrieval by content
 * and address of static files", 1974): the low bits of each index as they are, the high bits as
 * differences in unary. That takes about 2 + log2(count / chosen) bits for an index, within half a bit
 * of what any code needs, and always the same number of bytes. Many places are a bitmap: a bit for
 * every value. Whichever is shorter, which follows from the counts alone.
 */

/** How indices are coded: low bits as they are; null for a bitmap. */
interface Coding {
  readonly lowBits: number | null;
  readonly bytes: number;
}

/** As many bits as fit a 32-bit number from any bit of its first byte on. */
const lowBitsMax = 24;

const bytesOfBits = (bits: number): number => Math.ceil(bits / 8);

/** Bytes of the indices' low bits; those of the high bits follow. */
const lowBytesOf = (chosen: number, lowBits: number): number => bytesOfBits(chosen * lowBits);

function codingOf(count: number, chosen: number): Coding {
  let best: Coding = { lowBits: null, bytes: bytesOfBits(count) };
  if (chosen === 0) return { lowBits: null, bytes: 0 };
  for (let lowBits = 0; lowBits <= lowBitsMax && 2 ** lowBits <= count; lowBits++) {
    const unaryBits = chosen + Math.floor((count - 1) / 2 ** lowBits);
    const bytes = lowBytesOf(chosen, lowBits) + bytesOfBits(unaryBits);
    if (bytes < best.bytes) best = { lowBits, bytes };
  }
  return best;
}

/** Bytes that `chosen` indices among `count` take. */
export const indexBytes = (count: number, chosen: number): number => codingOf(count, chosen).bytes;

/** Codes ascending indices below `count`, which is at most 2^31. */
export function encodeIndices(indices: Int32Array, count: number): Uint8Array {
  const { lowBits, bytes: length } = codingOf(count, indices.length);
  const bytes = new Uint8Array(length);
  if (lowBits === null) {
    for (const index of indices) setBit(bytes, index);
    return bytes;
  }
  const highAt = 8 * lowBytesOf(indices.length, lowBits);
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i] as number;
    writeBits(bytes, i * lowBits, index & ((1 << lowBits) - 1));
    setBit(bytes, highAt + (index >> lowBits) + i);
  }
  return bytes;
}

const setBit = (bytes: Uint8Array, at: number): void => {
  bytes[at >> 3] = (bytes[at >> 3] as number) | (1 << (at & 7));
};

/** Writes at most 24 bits where there are zeros; they may end with the array. */
function writeBits(bytes: Uint8Array, at: number, value: number): void {
  const shifted = value << (at & 7);
  for (let byte = at >> 3, rest = shifted; rest !== 0; byte++, rest >>>= 8) {
    bytes[byte] = (bytes[byte] as number) | (rest & 0xff);
  }
}

/** 24 bits and more, of which those beyond the array are zeros. */
function readBits(bytes: Uint8Array, at: number): number {
  const byte = at >> 3;
  const word =
    (bytes[byte] ?? 0) |
    ((bytes[byte + 1] ?? 0) << 8) |
    ((bytes[byte + 2] ?? 0) << 16) |
    ((bytes[byte + 3] ?? 0) << 24);
  return word >>> (at & 7);
}

/**
 * The indices that bytes of the right length stand for.
 * @returns null where they do not stand for `chosen` ascending indices below `count`
 */
export function decodeIndices(bytes: Uint8Array, count: number, chosen: number): Int32Array | null {
  const { lowBits } = codingOf(count, chosen);
  const indices = new Int32Array(chosen);
  const highFrom = lowBits === null ? 0 : lowBytesOf(chosen, lowBits);
  let found = 0;
  let previous = -1;
  for (let byte = highFrom; byte < bytes.length; byte++) {
    for (let rest = bytes[byte] as number; rest !== 0; rest &= rest - 1) {
      if (found === chosen) return null;
      const place = 8 * (byte - highFrom) + (31 - Math.clz32(rest & -rest));
      const index = lowBits === null ? place : indexOf(bytes, lowBits, found, place - found);
      if (index <= previous || index >= count) return null;
      indices[found++] = index;
      previous = index;
    }
  }
  return found === chosen ? indices : null;
}

/** The index of given high bits, with the low bits that were coded `i`th. */
const indexOf = (bytes: Uint8Array, lowBits: number, i: number, high: number): number =>
  high * 2 ** lowBits + (readBits(bytes, i * lowBits) & ((1 << lowBits) - 1));
