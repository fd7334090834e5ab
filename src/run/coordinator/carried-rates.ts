/**
 * What devices' links carry of their shares. A flow that keeps to a share shows no more than that it is carried,
 * so a limit is learnt where less came through than was sent for, and after that it can only be tried whether more
 * would: as long as the share under a limit is carried the limit grows, and where that goes wrong it
 * falls back to what was seen and grows half as fast from there (additive increase and multiplicative decrease after
 * Chiu and Jain, "Analysis of the increase and decrease algorithms for congestion avoidance", 1989).
 */
import type { NodeId } from "../../base/ids.ts";
import type { FleetLink, FleetNode, Plan } from "../../plan/plan.ts";
import type { Rate } from "./ways.ts";

/** What is known of one way of a link. */
interface Limit {
  readonly bytesPerMs: number;
  /** Share of the limit that it grows by when a share under it was carried, and whether it has. */
  readonly growth: number;
  readonly hasGrown: boolean;
}

/** Less than this of a share is too little: what estimates of a link that carries it all are off by is less. */
const carriedShare = 0.75;
const growthAtFirst = 0.05;
const growthMin = 0.005;
/** A limit that is so many times what is sent limits nothing. */
const looseFactor = 4;

export class CarriedRates {
  readonly #limits = new Map<string, Limit>();
  /** When each way was measured last. */
  readonly #seenMs = new Map<string, number>();

  /**
   * A round is over: what came through is compared with the plan's shares.
   * @param achieved what one way has carried lately; null where that is not known
   */
  observe({ chains, links }: Plan, achieved: (from: NodeId, to: NodeId) => Rate | null): void {
    const sources = new Map(chains.map(({ id, source }) => [id, source]));
    for (const { chain, from, to, bytesPerMs, backBytesPerMs = bytesPerMs } of links) {
      // What comes back to a source comes by the way on which it has left.
      if (sources.get(chain) === to) continue;
      this.#take(keyOf(from, "up"), bytesPerMs, achieved(from, to));
      this.#take(keyOf(from, "down"), backBytesPerMs, achieved(to, from));
    }
  }

  #take(key: string, share: number | null, rate: Rate | null): void {
    if (share === null || rate === null || this.#seenMs.get(key) === rate.atMs) return;
    this.#seenMs.set(key, rate.atMs);
    const limit = this.#limits.get(key);
    if (rate.bytesPerMs < carriedShare * share) {
      const { growth: before = growthAtFirst, hasGrown: wasTried = false } = limit ?? {};
      const growth = wasTried ? Math.max(growthMin, before / 2) : before;
      this.#limits.set(key, { bytesPerMs: rate.bytesPerMs, growth, hasGrown: false });
    } else if (limit !== undefined) {
      const bytesPerMs = Math.max(share, limit.bytesPerMs * (1 + limit.growth));
      if (bytesPerMs > looseFactor * share) this.#limits.delete(key);
      else this.#limits.set(key, { ...limit, bytesPerMs, hasGrown: true });
    }
  }

  /** A node has left: when it comes back it may be somewhere else. */
  forget(node: NodeId): void {
    this.#limits.delete(keyOf(node, "up"));
    this.#limits.delete(keyOf(node, "down"));
  }

  /** Ways between devices and servers that carry less than the devices' own links are said to. */
  links(nodes: readonly FleetNode[]): FleetLink[] {
    if (this.#limits.size === 0) return [];
    const servers = nodes.filter(({ kind }) => kind !== "device");
    return nodes.flatMap(({ id: from, latencyMs }) => {
      const [up, down] = [
        this.#limits.get(keyOf(from, "up")),
        this.#limits.get(keyOf(from, "down")),
      ];
      if (up === undefined && down === undefined) return [];
      const thereBytesPerMs = up?.bytesPerMs ?? null;
      const backBytesPerMs = down?.bytesPerMs ?? null;
      return servers.map(({ id: to }) => ({
        from,
        to,
        thereBytesPerMs,
        backBytesPerMs,
        latencyMs,
      }));
    });
  }
}

const keyOf = (node: NodeId, way: "up" | "down"): string => `${way} ${node}`;
