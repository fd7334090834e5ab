/**
 * SHA-256 (FIPS 180-4), where peers check what others hand them and wait for nobody meanwhile: the hashes of
 * platforms answer by callback, or not at all in a page that was not served over TLS.
 */

import type { Tensor } from "./tensor.ts";

/** The first 32 bits of the fractional parts of a root of the first primes, which FIPS 180-4 takes its constants from. */
function fractions(count: number, root: (prime: number) => number): Int32Array {
  const found: number[] = [];
  for (let n = 2; found.length < count; n++) {
    let isPrime = true;
    for (let d = 2; d * d <= n; d++) if (n % d === 0) isPrime = false;
    if (isPrime) found.push(((root(n) % 1) * 2 ** 32) | 0);
  }
  return Int32Array.from(found);
}

const roundConstants = fractions(64, Math.cbrt);
const initialState = fractions(8, Math.sqrt);
const blockBytes = 64;

const rotated = (x: number, by: number): number => (x >>> by) | (x << (32 - by));

/** Takes bytes in pieces. */
export class Sha256 {
  readonly #state = initialState.slice();
  readonly #words = new Int32Array(64);
  /** What has come of a block that is not full. */
  readonly #rest = new Uint8Array(blockBytes);
  #restBytes = 0;
  #bytes = 0;

  update(bytes: Uint8Array): this {
    this.#bytes += bytes.length;
    let at = 0;
    if (this.#restBytes > 0) {
      at = Math.min(bytes.length, blockBytes - this.#restBytes);
      this.#rest.set(bytes.subarray(0, at), this.#restBytes);
      this.#restBytes += at;
      if (this.#restBytes < blockBytes) return this;
      this.#block(this.#rest, 0);
      this.#restBytes = 0;
    }
    for (; at + blockBytes <= bytes.length; at += blockBytes) this.#block(bytes, at);
    this.#rest.set(bytes.subarray(at));
    this.#restBytes = bytes.length - at;
    return this;
  }

  /** 64 hexadecimal digits; nothing more may be taken afterwards. */
  digest(): string {
    const bits = 8 * this.#bytes;
    const padding = new Uint8Array((this.#restBytes < 56 ? 56 : 120) - this.#restBytes + 8);
    padding[0] = 0x80;
    const view = new DataView(padding.buffer);
    view.setUint32(padding.length - 8, Math.floor(bits / 2 ** 32));
    view.setUint32(padding.length - 4, bits >>> 0);
    this.update(padding);
    return [...this.#state].map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
  }

  #block(bytes: Uint8Array, from: number): void {
    const w = this.#words;
    for (let i = 0; i < 16; i++) {
      const at = from + 4 * i;
      w[i] =
        ((bytes[at] as number) << 24) |
        ((bytes[at + 1] as number) << 16) |
        ((bytes[at + 2] as number) << 8) |
        (bytes[at + 3] as number);
    }
    for (let i = 16; i < 64; i++) {
      const [early, late] = [w[i - 15] as number, w[i - 2] as number];
      const s0 = rotated(early, 7) ^ rotated(early, 18) ^ (early >>> 3);
      const s1 = rotated(late, 17) ^ rotated(late, 19) ^ (late >>> 10);
      w[i] = ((w[i - 16] as number) + s0 + (w[i - 7] as number) + s1) | 0;
    }
    const state = this.#state;
    let a = state[0] as number;
    let b = state[1] as number;
    let c = state[2] as number;
    let d = state[3] as number;
    let e = state[4] as number;
    let f = state[5] as number;
    let g = state[6] as number;
    let h = state[7] as number;
    for (let i = 0; i < 64; i++) {
      const s1 = rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25);
      const chosen = (e & f) ^ (~e & g);
      const t1 = (h + s1 + chosen + (roundConstants[i] as number) + (w[i] as number)) | 0;
      const s0 = rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22);
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g;
      g = f;
      f = e;
      e = (d + t1) | 0;
      d = c;
      c = b;
      b = a;
      a = (t1 + t2) | 0;
    }
    const next = [a, b, c, d, e, f, g, h];
    for (let i = 0; i < 8; i++) state[i] = ((state[i] as number) + (next[i] as number)) | 0;
  }
}

/** So many bytes are hashed at a stretch, which takes a few milliseconds. */
const stretchBytes = 256 * 1024;

/**
 * Hashes the values of tensors, one behind the other, a stretch at a time, so that nobody waits for it meanwhile.
 * @param after calls back later, whatever else has happened by then
 * @param done is told 64 hexadecimal digits; null where a tensor has no values
 */
export function digestOf(
  tensors: readonly Tensor[],
  after: (ms: number, call: () => void) => unknown,
  done: (digest: string | null) => void,
): void {
  const all: Uint8Array[] = [];
  for (const { data } of tensors) {
    if (data === null) return done(null);
    all.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  const hash = new Sha256();
  const pieces = all.flatMap((bytes) =>
    Array.from({ length: Math.ceil(bytes.length / stretchBytes) }, (_, i) =>
      bytes.subarray(i * stretchBytes, (i + 1) * stretchBytes),
    ),
  );
  const next = (at: number): void => {
    let taken = 0;
    let i = at;
    for (; i < pieces.length && taken < stretchBytes; i++) {
      const piece = pieces[i] as Uint8Array;
      hash.update(piece);
      taken += piece.length;
    }
    if (i < pieces.length) after(0, () => next(i));
    else done(hash.digest());
  };
  next(0);
}
