/** Links in virtual time: each direction has a rate and a delay; frames keep their order. */
import type { Frame, Link } from "../run/host.ts";
import { frameBytes } from "../run/wire/frame.ts";
import type { World } from "./world.ts";

export interface SimLinkOptions {
  /** One-way delay. */
  readonly latencyMs: number;
  /** Rate of each direction; null carries any amount at once. */
  readonly bytesPerMs: number | null;
}

class SimLink implements Link {
  onFrame: (frame: Frame) => void = () => {};
  onClose: (reason: string) => void = () => {};
  readonly #world: World;
  readonly #options: SimLinkOptions;
  #peer: SimLink | null = null;
  #clearAtMs = 0;
  #isOpen = true;

  constructor(world: World, options: SimLinkOptions) {
    this.#world = world;
    this.#options = options;
  }

  static pair(world: World, options: SimLinkOptions): [SimLink, SimLink] {
    const a = new SimLink(world, options);
    const b = new SimLink(world, options);
    a.#peer = b;
    b.#peer = a;
    return [a, b];
  }

  send(frame: Frame): void {
    if (!this.#isOpen) return;
    const { bytesPerMs, latencyMs } = this.#options;
    const durationMs = bytesPerMs === null ? 0 : frameBytes(frame) / bytesPerMs;
    this.#clearAtMs = Math.max(this.#world.now(), this.#clearAtMs) + durationMs;
    const received = detached(frame);
    const peer = this.#peer;
    this.#world.at(this.#clearAtMs + latencyMs, () => {
      peer?.deliver(received);
    });
  }

  deliver(frame: Frame): void {
    if (this.#isOpen) this.onFrame(frame);
  }

  hangUp(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.onClose("the other side closed");
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    const peer = this.#peer;
    const now = this.#world.now();
    this.#world.at(now, () => this.onClose("closed"));
    // What was sent before arrives before the end does.
    this.#world.at(Math.max(now, this.#clearAtMs) + this.#options.latencyMs, () => {
      peer?.hangUp();
    });
  }
}

/** Two ends of a link. */
export const simLinks = (world: World, options: SimLinkOptions): [Link, Link] =>
  SimLink.pair(world, options);

/** The frame as a receiver elsewhere would have it: it shares no memory with the sender. */
function detached(frame: Frame): Frame {
  const copy = (bytes: Uint8Array | null): Uint8Array | null => bytes?.slice() ?? null;
  return {
    head: frame.head.slice(),
    body: frame.body.map(({ byteLength, bytes }) => ({ byteLength, bytes: copy(bytes) })),
  };
}
