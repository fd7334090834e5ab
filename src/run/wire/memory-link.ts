/**
 * Links whose two ends live in one process: the server's own worker in Node.js, and
 * every link of the simulator. What time passes between sending and arriving is the
 * medium's business. Frames are copied, so the ends share no memory, as over a socket.
 */
import type { Frame, Link } from "../host.ts";
import { frameBytes } from "./frame.ts";

/** One direction of a link: when things arrive. */
export interface Medium {
  /** Calls `arrive` when `bytes` sent now have arrived, in order, never before returning. */
  carry(bytes: number, arrive: () => void): void;
  /** Calls `fire` as soon as the caller has returned. */
  soon(fire: () => void): void;
}

class MemoryLink implements Link {
  onFrame: (frame: Frame) => void = () => {};
  onClose: (reason: string) => void = () => {};
  readonly #medium: Medium;
  #peer: MemoryLink | null = null;
  #isOpen = true;

  constructor(medium: Medium) {
    this.#medium = medium;
  }

  static pair(medium: () => Medium): [Link, Link] {
    const [a, b] = [new MemoryLink(medium()), new MemoryLink(medium())];
    a.#peer = b;
    b.#peer = a;
    return [a, b];
  }

  send(frame: Frame): void {
    if (!this.#isOpen) return;
    const received = detached(frame);
    this.#medium.carry(frameBytes(frame), () => this.#peer?.deliver(received));
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#medium.soon(() => this.onClose("closed"));
    // What was sent before arrives before the end does.
    this.#medium.carry(0, () => this.#peer?.hangUp());
  }

  deliver(frame: Frame): void {
    if (this.#isOpen) this.onFrame(frame);
  }

  hangUp(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.onClose("the other side closed");
  }
}

/** Two ends of a link; `medium` makes one for each direction. */
export const memoryLinks = (medium: () => Medium): [Link, Link] => MemoryLink.pair(medium);

/** The frame as a receiver elsewhere would have it. Tensors without values stay without. */
function detached(frame: Frame): Frame {
  return {
    head: copyOf(frame.head),
    body: frame.body.map(({ byteLength, bytes }) => ({
      byteLength,
      bytes: bytes === null ? null : copyOf(bytes),
    })),
  };
}

/** Not `slice()`: on Node's Buffer, a Uint8Array too, that makes a view, not a copy. */
function copyOf(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(bytes.length);
  copy.set(bytes);
  return copy;
}
