/** Links in virtual time: each direction has a rate and a delay; frames keep their order. */
import type { Link } from "../run/host.ts";
import { type Medium, memoryLinks } from "../run/wire/memory-link.ts";
import type { World } from "./world.ts";

export interface SimLinkOptions {
  /** One-way delay. */
  readonly latencyMs: number;
  /** Rate of each direction; null carries any amount at once. */
  readonly bytesPerMs: number | null;
}

/** Two ends of a link. */
export const simLinks = (world: World, options: SimLinkOptions): [Link, Link] =>
  memoryLinks(() => simMedium(world, options));

function simMedium(world: World, { latencyMs, bytesPerMs }: SimLinkOptions): Medium {
  /** When the last byte sent so far has left. */
  let clearAtMs = 0;
  return {
    carry(bytes, arrive) {
      const durationMs = bytesPerMs === null ? 0 : bytes / bytesPerMs;
      clearAtMs = Math.max(world.now(), clearAtMs) + durationMs;
      world.at(clearAtMs + latencyMs, arrive);
    },
    soon(fire) {
      world.at(world.now(), fire);
    },
  };
}
