/** What benchmarks on real processes and their child processes say to each other. */
import type { Profile, ShapedFleet } from "edgeloom";
import type { SimNode } from "edgeloom/sim";
import type { Kept } from "./quota-engine.ts";

/** A way from one node to another, or to the coordinator, that ends at a port of this machine. */
export type Way = readonly [from: string, to: string, port: number];

/** To the process that shapes links: what to shape, then that traces begin. */
export type LinksOrder =
  | { readonly type: "open"; readonly fleet: ShapedFleet; readonly ways: readonly Way[] }
  | { readonly type: "play" };

/** From it: the ports of the doors, in the order of the ways. */
export interface LinksAnswer {
  readonly type: "doors";
  readonly ports: readonly number[];
}

/** A value that holds until the next, in milliseconds from when traces begin. */
export type SharePoints = readonly (readonly [atMs: number, share: number])[];

/** To the process of a node: what it is, where to join, that traces begin. */
export type NodeOrder =
  | {
      readonly type: "measure";
      readonly name: string;
      /** The job as its file would say it. */
      readonly job: object;
      /** How fast a whole core is, and the share of it. */
      readonly core: Profile;
      readonly shares: SharePoints;
    }
  | {
      readonly type: "join";
      readonly kind: "device" | "edge";
      /** What it says of itself. */
      readonly limits: Pick<SimNode, "duty" | "memoryBytes" | "ceilingBytesPerMs">;
      readonly url: string;
      readonly token: string;
      /** Port on the loopback address where others reach it; null for nowhere. */
      readonly listen: number | null;
      /** Doors to other nodes by the port that those listen on. */
      readonly doors: readonly (readonly [port: number, door: number])[];
    }
  | { readonly type: "play" };

/** From it: how fast it is, that it is let in, that it has ended. */
export type NodeAnswer =
  | { readonly type: "measured"; readonly profile: Profile }
  | { readonly type: "joined" }
  | { readonly type: "ended"; readonly text: string; readonly kept: Kept };
