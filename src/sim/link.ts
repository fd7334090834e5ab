/** One link in virtual time, without the fleet around it: for those who talk over it alone. */
import type { Link } from "../run/host.ts";
import { accessOf } from "./fleet.ts";
import { Network } from "./network.ts";
import type { World } from "./world.ts";

export interface SimLinkOptions {
  /** One-way delay. */
  readonly latencyMs: number;
  /** Rate of each direction; null carries any amount at once. */
  readonly bytesPerMs: number | null;
}

/** Two ends of a link. */
export function simLinks(world: World, { latencyMs, bytesPerMs }: SimLinkOptions): [Link, Link] {
  const wire = { upBytesPerMs: bytesPerMs, downBytesPerMs: bytesPerMs, jitterMs: 0, loss: 0 };
  const a = accessOf({ name: "near", latencyMs, wire: { ...wire, cell: null } }, new Map());
  const b = accessOf({ name: "far", latencyMs: 0 }, new Map());
  const { near, far } = new Network(world, 0).connect(a, b);
  return [near, far];
}
