/**
 * Seeded pseudo-random numbers: xoshiro128** seeded through SplitMix32
 * (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2021).
 *
 * Only 32-bit integer arithmetic decides the stream, so every machine draws the
 * same numbers. `normal` uses Math.log and Math.cos, whose last bits differ
 * between platforms: what it yields is computed once and sent, never redrawn.
 */

/** A deterministic stream of numbers. The same seed gives the same stream everywhere. */
export interface Random {
  /** Uniform integer in [0, 2^32). */
  uint32(): number;
  /** Uniform integer in [0, bound), without modulo bias. `bound` is 1 to 2^32. */
  below(bound: number): number;
  /** Uniform number in [0, 1) with 32 random bits. */
  uniform(): number;
  /** Standard normal number (Box-Muller). */
  normal(): number;
  /** Shuffles in place (Fisher-Yates) and returns the same array. */
  shuffle<T extends { length: number; [index: number]: unknown }>(items: T): T;
  /** An independent stream named by `label`; does not advance this one. */
  fork(label: string): Random;
}

/** FNV-1a over the UTF-16 code units of a text, as an unsigned 32-bit integer. */
export function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  return hash >>> 0;
}

/** Starts a stream. Any integer is a seed; its low 32 bits count. */
export function random(seed: number): Random {
  return new Xoshiro128(seed >>> 0);
}

/**
 * The number of a counter: a hash of both (SplitMix32's), as an unsigned 32-bit integer. For noise of
 * which each element is a function of its place, drawn in any order.
 */
export function counterHash(seed: number, counter: number): number {
  let z = Math.imul(counter, 0x9e3779b9) ^ seed;
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  return (z ^ (z >>> 15)) >>> 0;
}

const rotateLeft = (x: number, k: number): number => (x << k) | (x >>> (32 - k));

class Xoshiro128 implements Random {
  readonly #seed: number;
  readonly #s: Uint32Array;
  #spareNormal: number | null = null;

  constructor(seed: number) {
    this.#seed = seed;
    this.#s = new Uint32Array(4);
    let state = seed;
    for (let i = 0; i < 4; i++) {
      state = (state + 0x9e3779b9) >>> 0;
      let z = state;
      z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
      this.#s[i] = z ^ (z >>> 15);
    }
  }

  uint32(): number {
    const s = this.#s;
    const s1 = s[1] as number;
    const result = Math.imul(rotateLeft(Math.imul(s1, 5), 7), 9) >>> 0;
    const t = s1 << 9;
    s[2] = (s[2] as number) ^ (s[0] as number);
    s[3] = (s[3] as number) ^ s1;
    s[1] = s1 ^ (s[2] as number);
    s[0] = (s[0] as number) ^ (s[3] as number);
    s[2] = (s[2] as number) ^ t;
    s[3] = rotateLeft(s[3] as number, 11);
    return result;
  }

  below(bound: number): number {
    const limit = 0x1_0000_0000 - (0x1_0000_0000 % bound);
    let draw = this.uint32();
    while (draw >= limit) draw = this.uint32();
    return draw % bound;
  }

  uniform(): number {
    return this.uint32() / 0x1_0000_0000;
  }

  normal(): number {
    if (this.#spareNormal !== null) {
      const spare = this.#spareNormal;
      this.#spareNormal = null;
      return spare;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    const angle = 2 * Math.PI * this.uniform();
    this.#spareNormal = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  shuffle<T extends { length: number; [index: number]: unknown }>(items: T): T {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const held = items[i];
      items[i] = items[j];
      items[j] = held;
    }
    return items;
  }

  fork(label: string): Random {
    return new Xoshiro128((Math.imul(this.#seed, 0x9e3779b1) ^ hash32(label)) >>> 0);
  }
}
