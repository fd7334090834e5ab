/**
 * The small job with devices a and b honest, and somebody on the line of device c
 * whom a test makes up: what a coordinator must bear without the others noticing.
 */
import { runId } from "../../src/base/ids.ts";
import { Coordinator } from "../../src/run/coordinator/coordinator.ts";
import type { CoordinatorEnd } from "../../src/run/coordinator/farewell.ts";
import type { Engine, Host, Link } from "../../src/run/host.ts";
import type { Job } from "../../src/run/job.ts";
import type { RunRecord } from "../../src/run/metrics/record.ts";
import { type Hello, protocolVersions } from "../../src/run/wire/messages.ts";
import { Worker } from "../../src/run/worker/worker.ts";
import type { WorkerEnd } from "../../src/run/worker/worker-owner.ts";
import { nullEngine } from "../../src/sim/engines.ts";
import type { SimNode } from "../../src/sim/fleet.ts";
import { simHost } from "../../src/sim/host.ts";
import { simLinks } from "../../src/sim/link.ts";
import { World } from "../../src/sim/world.ts";
import { smallFleet, smallJob, smallModel } from "./small-job.ts";

/** What a test has on the line of device c. */
export interface Stranger {
  readonly world: World;
  readonly node: SimNode;
  readonly host: Host;
  /** One more connection to the coordinator. */
  connect(): Link;
  /** One more connection to the edge server, which listens where the test says so. */
  connectToEdge(): Link;
}

export interface BesideOptions {
  readonly engine?: () => Engine;
  /** Whether the job waits for device c; otherwise it is only there. */
  readonly isAwaited?: boolean;
  /** Whether the edge server can be reached, so that data go straight. */
  readonly isStraight?: boolean;
  /** Number of the first secret that is drawn. */
  readonly secretsFrom?: number;
  readonly untilMs?: number;
  /** What is another way in the job. */
  readonly change?: object;
}

/** How an honest worker introduces itself. */
export const optionsOf = ({ name, kind, duty }: SimNode) => ({
  name,
  kind,
  token: name,
  instance: name,
  machine: name,
  duty,
  memoryBytes: null,
  ceilingBytesPerMs: null,
});

/** What device c would say of itself. */
export const helloOf = (node: SimNode): Hello => ({
  ...optionsOf(node),
  type: "hello",
  protocols: protocolVersions,
  samples: 50,
  inputShape: [12],
  classes: 3,
  classNames: null,
  testSamples: 0,
  engine: "none",
  address: null,
  dials: false,
});

/** What a node, or the coordinator, has in its world. */
const ownWorld = (node: SimNode | null, { batch }: Job) => ({
  name: node?.name ?? "coordinator",
  seed: 1,
  profile: node?.profile ?? null,
  batch,
  train: node?.train ?? null,
  test: node?.test ?? null,
});

/** Numbers that look like secrets; nobody guesses here. */
const counting = (from: number) => {
  let next = from;
  return () => `secret number ${String(next++).padStart(8, "0")}`;
};

/** Runs the job to its end, or until it is clear that there will be none. */
export async function runBeside(
  begin: (stranger: Stranger) => void,
  {
    engine = nullEngine,
    isAwaited = true,
    isStraight = false,
    secretsFrom = 0,
    untilMs = 600_000,
    change = {},
  }: BesideOptions = {},
) {
  const world = new World();
  const job = smallJob(change);
  const awaited = job.fleet.devices.filter(({ name }) => isAwaited || name !== "c");
  const own = { ...job, fleet: { ...job.fleet, devices: awaited } };
  const records: RunRecord[] = [];
  const ends: CoordinatorEnd[] = [];
  const workers = new Map<string, WorkerEnd>();
  const files = new Map<string, Uint8Array>();
  const engines: Engine[] = [];
  let edge: Worker | null = null;
  const linkTo = (accept: (link: Link) => void): Link => {
    const [near, far] = simLinks(world, { latencyMs: 1, bytesPerMs: null });
    accept(far);
    return near;
  };
  const connectToEdge = (): Link => linkTo((link) => edge?.accept(link));
  const hostOf = (node: SimNode | null): Host => {
    const made = engine();
    engines.push(made);
    const record = (told: RunRecord) => records.push(told);
    const own = { engine: made, files: node === null ? files : new Map(), record };
    const dial: Host["dial"] = (_address, done) => {
      world.after(2, () => done({ ok: true, value: connectToEdge() }));
    };
    return simHost(world, { ...ownWorld(node, job), ...own, dial });
  };
  const nodes = smallFleet(job);
  const coordinator = new Coordinator(
    hostOf(null),
    {
      run: runId("beside"),
      job: own,
      model: smallModel(),
      tickets: new Map(nodes.map((node) => [node.name, { kind: node.kind }])),
      edges: 1,
      drawSecret: counting(secretsFrom),
    },
    (end) => ends.push(end),
  );
  const connect = (): Link => linkTo((link) => coordinator.accept(link));
  for (const node of nodes) {
    const host = hostOf(node);
    if (node.name === "c") {
      begin({ world, node, host, connect, connectToEdge });
      continue;
    }
    const isReached = isStraight && node.kind === "edge";
    const address = isReached ? { url: "edge", fingerprint: "e".repeat(43) } : null;
    const options = { ...optionsOf(node), address };
    const onEnd = (end: WorkerEnd) => workers.set(node.name, end);
    const worker = new Worker(host, connect(), options, { onEvent: () => {}, onEnd });
    if (isReached) edge = worker;
  }
  await world.run(() => ends.length > 0 || world.now() > untilMs);
  for (const made of engines) await made.close();
  const ofType = <T extends RunRecord["type"]>(type: T) =>
    records.filter((record): record is Extract<RunRecord, { type: T }> => record.type === type);
  return { end: ends[0], job: own, records, ofType, workers, files, world };
}
