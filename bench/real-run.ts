/**
 * A scenario on real processes of this machine: the coordinator here, a process for each node, one
 * for the links between them. What is simulated otherwise happens: computing, sockets, timers.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  administerTokens,
  createRunFolder,
  loadModel,
  NativeEngine,
  type Profile,
  parseJob,
  type Serving,
  serve,
  type TimedRecord,
  watch,
} from "edgeloom";
import type { SimNode, SimulationOptions } from "edgeloom/sim";
import type {
  LinksAnswer,
  LinksOrder,
  NodeAnswer,
  NodeOrder,
  SharePoints,
  Way,
} from "./real-messages.ts";

/** The server in the coordinator's process: so weak that no plan has a use for it. */
export const ownServer = { name: "edge", duty: 0.001 } as const;

/** The longest that one answer of a child is waited for. */
const answerMsMax = 120_000;

/** What to run. */
export interface RealScenario {
  /** What a person would type for it. */
  readonly command: string;
  /** The job as its file would say it. */
  readonly job: object;
  /** Machines, links and traces; nodes of its own process but for {@link ownServer}. */
  readonly scene: Pick<SimulationOptions, "nodes" | "cells" | "traces" | "coordinatorOn">;
  /** How fast a whole core is taken to be, and by node the share of it. */
  readonly core: Profile;
  readonly shares: ReadonlyMap<string, SharePoints>;
  /** Asked now and then: whether it is over. Times count from the first plan, with which traces begin. */
  until(nowMs: number, records: readonly TimedRecord[]): boolean;
}

/** How it went. */
export interface RealRun {
  readonly records: readonly TimedRecord[];
  /** By node how fast it was before the run, segment by segment, at the share that it began with. */
  readonly profiles: ReadonlyMap<string, Profile>;
  /** Share of the runs of programs for which this machine was too busy to keep a node's share. */
  readonly lateShare: number;
}

/** Runs it, and ends every process that it has started. */
export async function runReal(scenario: RealScenario): Promise<RealRun> {
  const folder = mkdtempSync(path.join(tmpdir(), "edgeloom-bench-"));
  const run = new Run(scenario, folder);
  try {
    return await run.run();
  } finally {
    run.end();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What is there before nodes join. */
interface Started {
  readonly children: ReadonlyMap<string, ChildProcess>;
  readonly links: ChildProcess;
  readonly serving: Serving;
  /** The run's folder. */
  readonly run: string;
}

class Run {
  readonly #scenario: RealScenario;
  readonly #folder: string;
  readonly #children: ChildProcess[] = [];
  readonly #records: TimedRecord[] = [];
  #serving: Serving | null = null;
  #watching: Awaited<ReturnType<typeof watch>> | null = null;

  constructor(scenario: RealScenario, folder: string) {
    this.#scenario = scenario;
    this.#folder = folder;
  }

  async run(): Promise<RealRun> {
    const { scene, until } = this.#scenario;
    const nodes = scene.nodes.filter(({ name }) => name !== ownServer.name);
    const children = new Map(nodes.map(({ name }) => [name, this.#start("node")]));
    const profiles = new Map<string, Profile>();
    for (const [name, child] of children) {
      this.#order(child, { type: "measure", name, ...this.#taskOf(name) });
      profiles.set(name, (await told(child, "measured")).profile);
    }
    const { serving, path: run } = await this.#serve();
    const links = this.#start("links");
    await this.#join(nodes, { children, links, serving, run });
    const fromMs = await this.#firstPlan();
    for (const child of [links, ...children.values()]) this.#order(child, { type: "play" });
    while (!until(this.#nowMs() - fromMs, this.#records)) await sleep(100);
    const ends = [...children.values()].map((child) => told(child, "ended"));
    serving.interrupt("the benchmark is over");
    const kept = (await Promise.all(ends)).map((end) => end.kept);
    await serving.ended;
    const [runs, late] = [sum(kept.map((one) => one.runs)), sum(kept.map((one) => one.late))];
    return { records: this.#records, profiles, lateShare: late / Math.max(1, runs) };
  }

  /** Lets the servers join, then the device, with which the run begins; and has somebody watch them. */
  async #join(
    nodes: readonly SimNode[],
    { children, links, serving, run }: Started,
  ): Promise<void> {
    const ports = new Map<string, number>();
    for (const { name, kind, reachable = kind !== "device" } of nodes) {
      if (reachable) ports.set(name, await freePort());
    }
    const doors = await this.#openDoors(links, ports, serving.port);
    const ignored = (): void => {};
    this.#watching = await watch(serving.pageUrl, {
      onRun: ignored,
      onRecords: ignored,
      onState: ignored,
    });
    const devices = nodes.filter(({ kind }) => kind === "device");
    for (const node of [...nodes.filter(({ kind }) => kind !== "device"), ...devices]) {
      const { name, kind, duty, memoryBytes, ceilingBytesPerMs } = node;
      const child = children.get(name) as ChildProcess;
      const token =
        kind === "device"
          ? (serving.tokens[devices.indexOf(node)] ?? "")
          : await edgeToken(run, name);
      const others = [...ports].filter(([other]) => other !== name);
      this.#order(child, {
        type: "join",
        kind: kind === "device" ? "device" : "edge",
        limits: { duty, memoryBytes, ceilingBytesPerMs },
        url: `ws://127.0.0.1:${doors(name, "coordinator")}/`,
        token,
        listen: ports.get(name) ?? null,
        doors: others.map(([other, port]) => [port, doors(name, other)] as const),
      });
      await told(child, "joined");
    }
  }

  /** Ends whatever still runs. */
  end(): void {
    for (const child of this.#children) {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    }
    this.#watching?.close();
    // Nothing happens where it is over.
    this.#serving?.interrupt("the benchmark has failed");
  }

  #start(what: "node" | "links"): ChildProcess {
    const script = path.join(import.meta.dirname, `real-${what}.ts`);
    const child = fork(script, { execArgv: ["--no-warnings"] });
    this.#children.push(child);
    return child;
  }

  #order(child: ChildProcess, order: NodeOrder | LinksOrder): void {
    child.send(order);
  }

  #taskOf(name: string): Pick<RealScenario, "job" | "core"> & { readonly shares: SharePoints } {
    const { job, core, shares } = this.#scenario;
    return { job, core, shares: shares.get(name) ?? [] };
  }

  async #serve(): Promise<{ serving: Serving; path: string }> {
    const job = parseJob(this.#scenario.job);
    const folder = createRunFolder(this.#folder, "real", "", new Date());
    const startedAt = Date.now();
    const serving = await serve({
      ...{ job, folder, startedAt, test: null, port: null, duty: ownServer.duty },
      model: loadModel(job, "."),
      engine: new NativeEngine({ threads: 1 }),
      command: this.#scenario.command,
      record: (record, atMs) => this.#records.push({ record, atMs }),
    });
    this.#serving = serving;
    this.#nowMs = () => Date.now() - startedAt;
    return { serving, path: folder.path };
  }

  /** Milliseconds since the run started, as its records count them. */
  #nowMs: () => number = () => 0;

  /** @returns the port of the door from a node to another one, or to the coordinator */
  async #openDoors(
    links: ChildProcess,
    ports: ReadonlyMap<string, number>,
    coordinator: number,
  ): Promise<(from: string, to: string) => number> {
    const { nodes, cells, traces, coordinatorOn } = this.#scenario.scene;
    const names = nodes.map(({ name }) => name).filter((name) => name !== ownServer.name);
    const ways = names.flatMap((from): Way[] => [
      [from, "coordinator", coordinator],
      ...[...ports].flatMap(([to, port]): Way[] => (to === from ? [] : [[from, to, port]])),
    ]);
    const fleet = {
      nodes: nodes.map(({ name, latencyMs, wire }) => ({ name, latencyMs, ...(wire && { wire }) })),
      ...(cells && { cells }),
      ...(traces && { traces }),
      ...(coordinatorOn === undefined ? {} : { coordinatorOn }),
    };
    this.#order(links, { type: "open", fleet, ways });
    const answer = (await answered(links)) as LinksAnswer;
    return (from, to) => answer.ports[ways.findIndex(([a, b]) => a === from && b === to)] ?? 0;
  }

  /** @returns when the first plan was made */
  async #firstPlan(): Promise<number> {
    const limitMs = this.#nowMs() + answerMsMax;
    for (;;) {
      const planned = this.#records.find(({ record }) => record.type === "planned");
      if (planned !== undefined) return planned.atMs;
      if (this.#nowMs() > limitMs) throw new Error("no plan was made");
      await sleep(20);
    }
  }
}

const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);

/** A token for an edge server of a run. @param run its folder */
export async function edgeToken(run: string, label: string): Promise<string> {
  const { token } = await administerTokens(run, { add: { role: "edge", label } });
  if (token === undefined) throw new Error("no token was issued");
  return token;
}

/** The next message of a child. */
async function answered(child: ChildProcess): Promise<unknown> {
  const signal = AbortSignal.timeout(answerMsMax);
  const [message] = (await once(child, "message", { signal })) as [unknown];
  return message;
}

/** The next message of a node that is of this type. */
async function told<T extends NodeAnswer["type"]>(
  child: ChildProcess,
  type: T,
): Promise<Extract<NodeAnswer, { type: T }>> {
  for (;;) {
    const message = (await answered(child)) as NodeAnswer;
    if (message.type === type) return message as Extract<NodeAnswer, { type: T }>;
  }
}

/** A port that nobody listens on. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
