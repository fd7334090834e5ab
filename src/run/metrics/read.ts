/**
 * Reading records back: from a run folder, which may be of an older version or
 * half written, and from a server. What cannot be read is left out and noted in
 * words; the rest of the run is shown all the same.
 */
import * as z from "zod/mini";
import {
  count,
  duration,
  duty,
  energySchema,
  heldSchema,
  id,
  pacedSchema,
  partySchema,
  passes,
  planSchema,
  positive,
  profileSchema,
  spanSchema,
  toldSchema,
  transfersSchema,
  turns,
} from "../wire/schemas.ts";
import { type RunRecord, recordVersion, type TimedRecord } from "./record.ts";

// Loose objects: a newer minor release may add fields. Fields of version 2 have
// defaults that say "not known", so that runs of version 1 open as well.
const unknownText = z._default(z.string(), "?");
const nullable = <T extends z.core.SomeType>(schema: T) => z._default(z.nullable(schema), null);
const paced = nullable(pacedSchema);

const nodeRound = z.object({
  node: id,
  computeMs: duration,
  busyMs: duration,
  dutyAchieved: z.nullable(z.number()),
  held: nullable(heldSchema),
  ahead: nullable(count),
  bytesUp: count,
  bytesDown: count,
  bytesStraight: z._default(count, 0),
  straight: z._default(
    z.array(z.object({ to: id, bytes: count, bytesPerMs: z.nullable(positive) })),
    [],
  ),
  sending: paced,
  receiving: paced,
  peakRssBytes: z.nullable(count),
});

/** See `Participant`. */
const participant = {
  chain: id,
  node: id,
  copies: z.array(id),
  samples: count,
  loss: z.nullable(z.number()),
  passes: z.optional(z.array(passes)),
  firstStep: z.optional(count),
  ...toldSchema,
  transfers: z.optional(transfersSchema),
  steps: z.optional(count),
};

const record = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("environment"),
    edgeloom: z.string(),
    runtime: z.string(),
    platform: z.string(),
    cores: count,
    startedAt: z.string(),
    command: z.string(),
  }),
  z.object({
    type: z.literal("run"),
    version: count,
    run: id,
    name: unknownText,
    model: unknownText,
    planner: unknownText,
    seed: z.number(),
    rounds: count,
    batch: count,
    localBatches: z._default(count, 0),
    parameters: count,
    segments: z.array(z.string()),
  }),
  z.object({
    type: z.literal("joined"),
    node: id,
    name: z.string(),
    kind: z.enum(["device", "edge", "cloud"]),
    duty,
    memoryBytes: z.nullable(positive),
    ceilingBytesPerMs: z.nullable(positive),
    energy: z.optional(energySchema),
    samples: count,
    party: z.optional(partySchema),
    engine: z.string(),
  }),
  z.object({
    type: z.literal("left"),
    node: id,
    name: z.string(),
    reason: z.string(),
    round: z.nullable(count),
  }),
  z.object({
    type: z.literal("profiled"),
    node: id,
    name: z.string(),
    profile: profileSchema,
    latencyMs: duration,
    probeMs: duration,
  }),
  z.object({
    type: z.literal("links"),
    term: count,
    links: z.array(
      z.object({
        from: id,
        to: id,
        thereBytesPerMs: z.nullable(positive),
        backBytesPerMs: z.nullable(positive),
        latencyMs: duration,
      }),
    ),
    probes: z.array(
      z.object({
        from: z.nullable(id),
        to: z.nullable(id),
        payloads: count,
        bytes: count,
        ms: duration,
        share: z.number(),
      }),
    ),
  }),
  z.object({ type: z.literal("planned"), plan: planSchema, round: count, reason: z.string() }),
  z.object({
    type: z.literal("round"),
    round: count,
    term: count,
    learningRate: z.number(),
    ms: duration,
    loss: z.nullable(z.number()),
    participants: z.array(z.object(participant)),
    alone: z.optional(
      z.array(
        z.object({
          learningRate: z.number(),
          participants: z.array(z.object({ chain: id, ...toldSchema })),
        }),
      ),
    ),
    phases: z.optional(z.int().check(z.positive())),
    folded: z.optional(z.array(z.object({ ...participant, round: count }))),
    turns: z.optional(z.array(z.object({ copy: id, chains: turns, first: z.array(count) }))),
    dropped: z.array(z.object({ chain: id, reason: z.string() })),
    nodes: z.array(nodeRound),
  }),
  z.object({ type: z.literal("waiting"), reason: z.string() }),
  z.object({ type: z.literal("resumed"), round: count, term: count, reason: z.string() }),
  z.object({
    type: z.literal("evaluation"),
    round: count,
    samples: count,
    accuracy: z.nullable(z.number()),
    loss: z.nullable(z.number()),
    ms: duration,
    final: z.boolean(),
  }),
  z.object({
    type: z.literal("activity"),
    node: id,
    spans: z.array(spanSchema),
  }),
  z.object({
    type: z.literal("ended"),
    reason: z.enum(["finished", "interrupted", "failed"]),
    text: z.string(),
    rounds: count,
  }),
]);

const knownTypes: ReadonlySet<unknown> = new Set(
  record.def.options.map((option) => option.shape.type.def.values[0]),
);

const timed = z.looseObject({ atMs: duration, type: z.string() });

/** Reads records one after the other and keeps count of what it could not read. */
export class RecordReader {
  #unreadable = 0;
  readonly #unknown = new Set<string>();
  #version: number | null = null;
  #isCut = false;

  /**
   * One record as it stands in `records.jsonl` (parsed).
   * @returns null where it cannot be read; {@link notes} then says so
   */
  take(value: unknown): TimedRecord | null {
    const outer = timed.safeParse(value);
    if (!outer.success) return this.#miss();
    const { atMs, ...rest } = outer.data;
    if (!knownTypes.has(rest.type)) {
      this.#unknown.add(rest.type);
      return null;
    }
    const inner = record.safeParse(rest);
    if (!inner.success) return this.#miss();
    if (inner.data.type === "run") this.#version = inner.data.version;
    // The schema has checked what the types promise, but for the brands of ids.
    return { atMs, record: inner.data as unknown as RunRecord };
  }

  /** All records of a `records.jsonl`. */
  takeFile(text: string): TimedRecord[] {
    const lines = text.split("\n");
    // A whole file ends with a line break, so the rest after it is empty.
    this.#isCut = lines.pop() !== "";
    return lines.flatMap((line) => {
      try {
        return this.take(JSON.parse(line)) ?? [];
      } catch {
        return this.#miss() ?? [];
      }
    });
  }

  /** What a reader of the run should know about its records, in words. */
  get notes(): readonly string[] {
    const notes: string[] = [];
    if (this.#version !== null && this.#version < recordVersion) {
      notes.push(
        `written by an older Edgeloom (record version ${this.#version}, now ${recordVersion}): ` +
          "what it did not record is left out",
      );
    }
    if (this.#version !== null && this.#version > recordVersion) {
      notes.push(
        `written by a newer Edgeloom (record version ${this.#version}, this one reads ${recordVersion}): ` +
          "shown as far as it is understood",
      );
    }
    if (this.#unknown.size > 0) {
      notes.push(`records of unknown type left out: ${[...this.#unknown].sort().join(", ")}`);
    }
    if (this.#unreadable > 0) {
      notes.push(
        `${this.#unreadable} record${this.#unreadable === 1 ? "" : "s"} could not be read`,
      );
    }
    if (this.#isCut) notes.push("the last record is half written");
    return notes;
  }

  #miss(): null {
    this.#unreadable++;
    return null;
  }
}
