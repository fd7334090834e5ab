/**
 * The coordinator's journal: every decision that must outlive it, in order. An entry
 * holds the decision as a record, and for a committed round where the tensors are
 * that it led to. What a restarted coordinator needs follows from the entries alone.
 */
import * as z from "zod/mini";
import { InputError } from "../../base/errors.ts";
import type { Plan } from "../../plan/plan.ts";
import type { Host, Journal } from "../host.ts";
import { RecordReader } from "../metrics/read.ts";
import {
  type Evaluated,
  type Planned,
  type Resumed,
  type RoundCommitted,
  type RunEnded,
  standing,
} from "../metrics/record.ts";

/** A decision that is written down before it is acted upon. */
export type Decision = Planned | RoundCommitted | Evaluated | Resumed | RunEnded;

/** Checkpoints that are kept: the newest, and one to fall back on where a file of it is damaged. */
export const checkpointsKept = 2;

/** Types of decisions. */
export const decisionTypes: ReadonlySet<string> = new Set<Decision["type"]>([
  "planned",
  "round",
  "evaluation",
  "resumed",
  "ended",
]);

/**
 * Where the tensors of a state are: by segment, the kept safetensors file with what the
 * segment needs, and the files of what codecs remember, by its names. Empty in the null engine's world.
 */
export type Checkpoint = Readonly<Record<string, string>>;

const entrySchema = z.object({
  record: z.looseObject({ type: z.string() }),
  checkpoint: z.optional(z.record(z.string(), z.string())),
});

/** One line of the journal. */
export const entryText = (record: Decision, checkpoint?: Checkpoint): string =>
  JSON.stringify({ record, checkpoint });

/** What a journal says. */
export interface Past {
  /** All decisions as they were taken, those included that a resumption took back. */
  readonly decisions: readonly Decision[];
  /** Newest term issued; 0 before the first. */
  readonly term: number;
  /** The newest plan; null before the first. */
  readonly plan: Plan | null;
  /** Rounds committed. */
  readonly committed: number;
  /** Rounds committed at the newest measurement; -1 before the first. */
  readonly examinedAt: number;
  /** The state after the last committed round; null before the first. */
  readonly checkpoint: Checkpoint | null;
  /** Names of the kept files that the newest rounds speak of; others may be freed. */
  readonly kept: ReadonlySet<string>;
  /** How the run ended; null where it did not, or was resumed since. */
  readonly end: RunEnded | null;
  /** What was lost: why newer rounds than the last committed one must be done again; null for nothing. */
  readonly loss: string | null;
}

/**
 * Reads a journal. Where kept files of the newest rounds are damaged, the newest round before
 * them counts as the last.
 * @param isWhole whether a kept file is there and is what its name says
 * @throws InputError naming the entry that cannot be read, or where none of the kept checkpoints is whole
 */
export function readJournal(entries: readonly string[], isWhole: (name: string) => boolean): Past {
  const read = entries.map(readEntry);
  const decisions = read.map(({ record }) => record);
  const held = standing(read, ({ record }) => record);
  const rounds = held.filter(({ record }) => record.type === "round");
  const whole = rounds.findLast((round) => damagedOf(round, isWhole) === null);
  const newest = rounds.at(-1);
  const damaged = newest === undefined ? null : damagedOf(newest, isWhole);
  // Before the first checkpoint there is the model as the run began with it: one round back, as elsewhere.
  if (damaged !== null && whole === undefined && rounds.length >= checkpointsKept) {
    throw new InputError({
      what: "checkpoint",
      received: `${damaged}, which is damaged or missing, as are all before it`,
      allowed: "the files that the run has kept",
    });
  }
  const committed = whole?.record.type === "round" ? whole.record.round + 1 : 0;
  const measured = held.flatMap(({ record }) =>
    record.type === "evaluation" && record.round <= committed ? [record.round] : [],
  );
  const last = decisions.at(-1);
  return {
    decisions,
    term: Math.max(0, ...decisions.map(termOf)),
    plan: decisions.findLast((record) => record.type === "planned")?.plan ?? null,
    committed,
    examinedAt: measured.at(-1) ?? -1,
    checkpoint: whole?.checkpoint ?? null,
    kept: new Set(
      rounds.slice(-checkpointsKept).flatMap(({ checkpoint }) => Object.values(checkpoint ?? {})),
    ),
    end: last?.type === "ended" ? last : null,
    loss: damaged === null ? null : `${damaged} is damaged or missing`,
  };
}

const termOf = (record: Decision): number =>
  record.type === "planned" ? record.plan.term : record.type === "resumed" ? record.term : 0;

interface Entry {
  readonly record: Decision;
  readonly checkpoint: Checkpoint | null;
}

function readEntry(text: string, index: number): Entry {
  const refuse = (received: string): InputError =>
    new InputError({
      what: "journal",
      received,
      allowed: "a decision that Edgeloom has written",
      where: `entry ${index + 1}`,
    });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw refuse("no JSON");
  }
  const parsed = entrySchema.safeParse(value);
  if (!parsed.success || !decisionTypes.has(parsed.data.record.type)) {
    throw refuse(text.slice(0, 60));
  }
  const timed = new RecordReader().take({ atMs: 0, ...parsed.data.record });
  if (timed === null) throw refuse(`a ${parsed.data.record.type} of another form`);
  return { record: timed.record as Decision, checkpoint: parsed.data.checkpoint ?? null };
}

/** The first file of a round's checkpoint that is not whole; null where all are. */
function damagedOf({ checkpoint }: Entry, isWhole: (name: string) => boolean): string | null {
  return Object.values(checkpoint ?? {}).find((name) => !isWhole(name)) ?? null;
}

/** A journal for coordinators whose run need not outlive them. */
export const noJournal = (host: Pick<Host, "after">): Journal => ({
  append: (_entry, done) => void host.after(0, () => done({ ok: true, value: null })),
  keep: (_parts, done) => void host.after(0, () => done({ ok: true, value: "" })),
  release: () => {},
});
