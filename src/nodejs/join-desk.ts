/**
 * What a server tells those who hold a join token: which run it is, what data
 * fit it, how it goes, and, where the job's data are public, a shard of them for
 * devices that bring none. A shard is drawn here, once, and sent as idx files.
 */
import type { ServerResponse } from "node:http";
import { present } from "../base/assert.ts";
import type { Model } from "../compile/graph.ts";
import type { SampleSource } from "../data/source.ts";
import type { Job } from "../run/job.ts";
import type { RunRecord } from "../run/metrics/record.ts";
import { measuredWords, RunFold } from "../run/metrics/summary.ts";
import type { JoinOffer, JoinProgress } from "../run/wire/offer.ts";
import { say, sayJson } from "./answers.ts";
import { type IdxShards, idxShards } from "./data-files.ts";

export interface JoinDeskOptions {
  readonly run: string;
  readonly job: Job;
  readonly model: Model;
  readonly test: SampleSource | null;
}

/** Files of a shard, by the names under which they are asked for. */
const shardFiles = ["images", "labels"] as const;

export class JoinDesk {
  readonly #options: JoinDeskOptions;
  readonly #fold = new RunFold();
  #shards: IdxShards | null = null;

  constructor(options: JoinDeskOptions) {
    this.#options = options;
  }

  /** Takes the next record of the run. */
  readonly add = (record: RunRecord): void => this.#fold.add(record);

  /** @param label for whom the token was made: the name of a device of the job, as a rule */
  offer(label: string): JoinOffer {
    const { run, job, model, test } = this.#options;
    const shape = model.graph.inputs[0]?.shape.slice(1) ?? [];
    const shards = this.#openShards();
    const device = this.#deviceOf(label);
    return {
      run,
      name: label,
      model: job.model,
      rounds: job.rounds,
      inputShape: shape.every((size) => typeof size === "number") ? shape : null,
      classNames: test?.classNames == null ? null : [...test.classNames],
      shard:
        shards === null || device === null
          ? null
          : {
              what: "MNIST",
              classes: shards.classes,
              samples: shards.samples(device),
              bytes: shards.bytes(device),
            },
    };
  }

  /** The job's devices with the tokens given, in the same order. */
  devices(tokens: readonly string[]): { readonly name: string; readonly token: string }[] {
    const { devices } = this.#options.job.fleet;
    return devices.map(({ name }, i) => ({ name, token: present(tokens[i], name) }));
  }

  progress(): JoinProgress {
    const { summary } = this.#fold;
    const { rounds, roundsAsked, loss } = summary;
    const measured = measuredWords(summary);
    return { rounds, roundsAsked, loss, measured: measured && [...measured] };
  }

  /** A file of the device's shard; null where there is none. */
  shard(label: string, file: (typeof shardFiles)[number]): Uint8Array | null {
    const device = this.#deviceOf(label);
    return device === null ? null : (this.#openShards()?.file(device, file) ?? null);
  }

  /** Position in the job's fleet; null for a token that was made later, for one more device. */
  #deviceOf(label: string): number | null {
    const device = this.#options.job.fleet.devices.findIndex(({ name }) => name === label);
    return device < 0 ? null : device;
  }

  /** Only MNIST may be sent: other data of a job are somebody's own. */
  #openShards(): IdxShards | null {
    const { data, fleet, partition, seed } = this.#options.job;
    if (data !== "mnist") return null;
    const parts = fleet.devices.length;
    this.#shards ??= idxShards(data, { parts, alpha: partition.alpha, seed });
    return this.#shards;
  }
}

/** Answers what is asked under `/api/join` by who has the token of a device. */
export function answerAtDesk(
  desk: JoinDesk,
  label: string,
  path: string,
  response: ServerResponse,
): void {
  const [, , , what = "", name = ""] = path.split("/");
  if (what === "") return sayJson(response, desk.offer(label));
  if (what === "progress") return sayJson(response, desk.progress());
  const file = shardFiles.find((candidate) => candidate === name);
  const bytes = what === "shard" && file !== undefined ? desk.shard(label, file) : null;
  if (bytes === null) return say(response, 404, "nothing here");
  response.writeHead(200, {
    "content-type": "application/octet-stream",
    "content-length": bytes.length,
    "cache-control": "no-store",
  });
  response.end(bytes);
}
