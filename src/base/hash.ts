/** Content hashes for caches: fast, 64 bits, not cryptographic. */

/** Accumulates text and bytes into one hash; equal content in equal order gives equal hashes. */
export class Hasher {
  // Two FNV-1a streams with different offsets stand in for one of 64 bits.
  #a = 0x811c9dc5;
  #b = 0xcbf29ce4;

  text(value: string): this {
    for (let i = 0; i < value.length; i++) this.#mix(value.charCodeAt(i));
    this.#mix(0x1ffff);
    return this;
  }

  bytes(value: Uint8Array): this {
    for (const byte of value) this.#mix(byte);
    this.#mix(0x2ffff);
    return this;
  }

  /** Sixteen hexadecimal digits. */
  digest(): string {
    const hex = (word: number): string => (word >>> 0).toString(16).padStart(8, "0");
    return hex(this.#a) + hex(this.#b);
  }

  #mix(value: number): void {
    this.#a = Math.imul(this.#a ^ value, 0x01000193);
    this.#b = Math.imul(this.#b ^ (value + 0x9e37), 0x01000193) ^ (this.#b >>> 15);
  }
}
