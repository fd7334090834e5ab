/** A pipeline over real processes: a server, edge servers that join it, and the device that holds the data. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { present } from "../../src/base/assert.ts";
import { readSafetensors } from "../../src/base/safetensors.ts";
import { RunTokens } from "../../src/nodejs/tokens.ts";
import { loadModel, loadShard, NativeEngine, partition } from "../../src/nodejs.ts";
import { parseJob } from "../../src/run/job.ts";
import type { RunRecord } from "../../src/run/metrics/record.ts";
import { replay } from "../../src/sim/replay.ts";
import { type Running, start } from "./processes.ts";

/** A device with a quarter of a core: so much slower than each server that no plan does without them. */
const pipelineJob = {
  name: "walk",
  model: "lenet5",
  data: "mnist",
  optimizer: { kind: "sgd", learningRate: 0.02, momentum: 0.9, schedule: "cosine" },
  rounds: 8,
  localBatches: 60,
  planner: "pipeline",
  pipeline: { window: 2 },
  round: { interim: 2 },
  evaluate: { every: 100 },
  fleet: { devices: [{ name: "phone", duty: 0.25 }] },
};

/** Shares of a core of the edge servers that join; the server's own has too little to be of use. */
const duties = { "edge-1": 0.4, "edge-2": 0.5 } as const;
const ownDuty = 0.05;
const limitMs = 150_000;

export class PipelineRun {
  readonly job = parseJob(pipelineJob);
  readonly server: Running;
  readonly processes = new Map<string, Running>();
  readonly #runs: string;
  readonly #shard: string;

  constructor(folder: string, name: string) {
    const file = join(folder, `${name}.json`);
    writeFileSync(file, JSON.stringify(pipelineJob));
    this.#runs = join(folder, name);
    const out = join(folder, `${name}-shards`);
    this.#shard = present(
      partition("mnist", { parts: 6, out, alpha: 100, seed: 5 })[0],
      "a shard",
    ).folder;
    const flags = ["--runs", this.#runs, "--duty", String(ownDuty), "--json"];
    this.server = start(["serve", file, ...flags], limitMs);
  }

  /** Lets the edge servers in, then the device, with which the run begins. */
  async join(): Promise<void> {
    const [, url = "", token = ""] = await this.server.says(/join (ws:\S+) --token (\S+)/);
    for (const [name, duty] of Object.entries(duties)) {
      const own = await new RunTokens(this.path).issue("edge", name, 1);
      const flags = ["--edge", "--listen", "127.0.0.1:0"];
      const edge = this.#start(name, [url, "--token", own, "--duty", String(duty), ...flags]);
      await edge.says(/joined run/);
    }
    const { duty } = pipelineJob.fleet.devices[0] as { duty: number };
    const flags = ["--duty", String(duty), "--data", this.#shard];
    this.#start("phone", [url, "--token", token, ...flags]);
  }

  #start(name: string, args: readonly string[]): Running {
    const process = start(["join", ...args, "--name", name], limitMs);
    this.processes.set(name, process);
    return process;
  }

  get path(): string {
    return join(this.#runs, present(readdirSync(this.#runs)[0], "a run folder"));
  }

  /** What the run has told so far. */
  get records(): RunRecord[] {
    const lines = readFileSync(join(this.path, "records.jsonl"), "utf8").split("\n");
    // The last line may not be whole yet.
    return lines.slice(0, -1).map((line) => JSON.parse(line) as RunRecord);
  }

  of<T extends RunRecord["type"]>(type: T): Extract<RunRecord, { type: T }>[] {
    return this.records.filter(
      (record): record is Extract<RunRecord, { type: T }> => record.type === type,
    );
  }

  /** Waits for the middle of a round in which an edge server of its own process trains. @returns its name */
  async midRound(rounds: number): Promise<string> {
    for (;;) {
      await sleep(20);
      const [end] = this.of("ended");
      if (end !== undefined) throw new Error(`no edge server took part: ${end.text}`);
      if (this.of("round").length < rounds) continue;
      const nodes = this.of("planned")
        .at(-1)
        ?.plan.copies.map(({ node }) => node as string);
      const server = nodes?.find((node) => node in duties);
      if (server === undefined) continue;
      await sleep(150);
      return server;
    }
  }

  /** Weights that the run has saved. */
  get saved(): ReturnType<typeof readSafetensors>["tensors"] {
    return readSafetensors(readFileSync(join(this.path, "weights.safetensors"))).tensors;
  }

  /** The same batches in the same order in one process, as some records tell them. */
  async replayed(records: readonly RunRecord[] = this.records): ReturnType<typeof replay> {
    const engine = new NativeEngine();
    try {
      const samplesOf = () => loadShard(this.#shard);
      return await replay({ ...this, records, model: this.model, samplesOf, engine });
    } finally {
      await engine.close();
    }
  }

  get model(): ReturnType<typeof loadModel> {
    return loadModel(this.job, ".");
  }

  /** Ends whatever still runs. */
  end(): void {
    for (const { child } of [this.server, ...this.processes.values()]) child.kill("SIGKILL");
  }
}

/** The records of a run as they would be had each batch waited for the update of the one before. */
export const unstale = (records: readonly RunRecord[]): RunRecord[] =>
  records.map((record): RunRecord => {
    if (record.type === "planned") {
      const chains = record.plan.chains.map(
        (chain) => ({ ...chain, schedule: "serial", window: 0 }) as const,
      );
      return { ...record, plan: { ...record.plan, chains } };
    }
    if (record.type !== "round") return record;
    const participants = record.participants.map(({ passes: _, ...rest }) => rest);
    return { ...record, participants };
  });
