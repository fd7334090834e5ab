/** A node of a benchmark on real processes: a worker with a share of a core that changes. */
import {
  type Joined,
  join,
  loadModel,
  loadTraining,
  NativeEngine,
  parseJob,
  profileModel,
} from "edgeloom";
import { QuotaEngine } from "./quota-engine.ts";
import type { NodeAnswer, NodeOrder, SharePoints } from "./real-messages.ts";

const answer = (message: NodeAnswer): void => void process.send?.(message);

class Node {
  readonly #name: string;
  readonly #job: ReturnType<typeof parseJob>;
  readonly #shares: SharePoints;
  readonly #engine: QuotaEngine;
  /** When the traces began; null before. */
  #fromMs: number | null = null;
  #joined: Joined | null = null;

  constructor({ name, job, core, shares }: Extract<NodeOrder, { type: "measure" }>) {
    this.#name = name;
    this.#job = parseJob(job);
    this.#shares = shares;
    const inner = new NativeEngine({ threads: 1 });
    this.#engine = new QuotaEngine(inner, { name, core, share: () => this.#shareNow() });
  }

  #shareNow(): number {
    const ms = this.#fromMs === null ? 0 : performance.now() - this.#fromMs;
    return this.#shares.findLast(([atMs]) => atMs <= ms)?.[1] ?? 1;
  }

  async measure(): Promise<void> {
    const profile = await profileModel(this.#job, loadModel(this.#job, "."), this.#engine);
    answer({ type: "measured", profile });
  }

  async join(order: Extract<NodeOrder, { type: "join" }>): Promise<void> {
    const { kind, limits, url, token, listen, doors } = order;
    const doorOf = new Map(doors);
    this.#joined = await join({
      ...{ url, token, kind, name: this.#name, ...limits },
      train: kind === "device" ? loadTraining(this.#job.data, ".") : null,
      ...(listen === null ? {} : { listen: `127.0.0.1:${listen}` }),
      route: (address) => {
        const door = doorOf.get(Number(new URL(address).port));
        return door === undefined ? null : Object.assign(new URL(address), { port: door }).href;
      },
      engine: this.#engine,
      onEvent: ({ type }) => {
        if (type === "welcomed") answer({ type: "joined" });
      },
    });
    this.#engine.takeKept();
    const { text } = await this.#joined.ended;
    answer({ type: "ended", text, kept: this.#engine.takeKept() });
    process.disconnect();
  }

  play(): void {
    this.#fromMs = performance.now();
  }

  leave(): void {
    this.#joined?.leave("the benchmark is over");
  }
}

let node: Node | null = null;
process.on("message", async (order: NodeOrder) => {
  if (order.type === "measure") {
    node = new Node(order);
    await node.measure();
  } else if (order.type === "join") await node?.join(order);
  else node?.play();
});
process.on("disconnect", () => node?.leave());
