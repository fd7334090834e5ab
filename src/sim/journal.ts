/** A coordinator's journal in virtual time, on a disk that outlives whoever writes to it. */
import { joinBytes } from "../base/bytes.ts";
import { Hasher } from "../base/hash.ts";
import { readSafetensors } from "../base/safetensors.ts";
import type { DenseTensor } from "../base/tensor.ts";
import type { Legacy } from "../run/coordinator/coordinator-options.ts";
import { readJournal } from "../run/coordinator/journal.ts";
import type { Journal } from "../run/host.ts";
import type { Clock } from "./world.ts";

/** What survives a crash: entries and kept files that were durable by then. */
export interface SimDisk {
  readonly entries: string[];
  /** By name; while a file is being written, its first half stands beside it as `NAME.part`. */
  readonly kept: Map<string, Uint8Array>;
  /** Checkpoints of which a file was torn so far. */
  torn: number;
}

export const emptyDisk = (): SimDisk => ({ entries: [], kept: new Map(), torn: 0 });

/** As much of a file as is there when a crash comes in the middle of its writing. */
export const firstHalf = (bytes: Uint8Array): Uint8Array => bytes.slice(0, bytes.length >> 1);

/** Damages a file that the newest checkpoint alone speaks of, if there is one. */
export function tear(disk: SimDisk): void {
  const spokenOf = disk.entries.map((entry) =>
    Object.values((JSON.parse(entry) as { checkpoint?: Record<string, string> }).checkpoint ?? {}),
  );
  const newest = spokenOf.findLastIndex((names) => names.length > 0);
  const older = new Set(spokenOf.slice(0, Math.max(0, newest)).flat());
  const name = spokenOf[newest]?.find((own) => !older.has(own));
  const bytes = name === undefined ? undefined : disk.kept.get(name);
  if (name === undefined || bytes === undefined) return;
  disk.kept.set(name, firstHalf(bytes));
  disk.torn++;
}

/** Time until something is durable, and from then until its writer hears of it. */
const [writeMs, answerMs] = [2, 1];

/**
 * A journal on a disk.
 * @param clock the writer's: what was not durable when it died is lost, and nobody is told of
 *   what was
 * @param isAlive whether the writer still lives, where its clock does not know
 */
export function simJournal(
  clock: Clock,
  disk: SimDisk,
  isAlive: () => boolean = () => true,
): Journal {
  let clearAtMs = 0;
  const write = (durable: () => void, tell: () => void): void => {
    clearAtMs = Math.max(clock.elapsed(), clearAtMs) + writeMs;
    const waitMs = clearAtMs - clock.elapsed();
    clock.after(waitMs, () => {
      if (isAlive()) durable();
    });
    clock.after(waitMs + answerMs, () => {
      if (isAlive()) tell();
    });
  };
  return {
    append(entry, done) {
      write(
        () => void disk.entries.push(entry),
        () => done({ ok: true, value: null }),
      );
    },
    keep(parts, done) {
      const bytes = joinBytes(parts);
      const name = nameOf(bytes);
      disk.kept.set(partOf(name), firstHalf(bytes));
      write(
        () => {
          disk.kept.delete(partOf(name));
          disk.kept.set(name, bytes);
        },
        () => done({ ok: true, value: name }),
      );
    },
    release(names) {
      write(
        () => {
          for (const name of names) disk.kept.delete(name);
        },
        () => {},
      );
    },
  };
}

/** What a coordinator finds on a disk; undefined where no decision was written down. */
export function legacyOn(disk: SimDisk): Legacy | undefined {
  if (disk.entries.length === 0) return undefined;
  const isWhole = (name: string): boolean => {
    const bytes = disk.kept.get(name);
    return bytes !== undefined && nameOf(bytes) === name;
  };
  const past = readJournal(disk.entries, isWhole);
  // What a crash has left behind goes, as it does from a run's folder.
  for (const name of [...disk.kept.keys()]) {
    if (!isWhole(name) || !past.kept.has(name)) disk.kept.delete(name);
  }
  const tensors = new Map<string, DenseTensor>();
  for (const name of Object.values(past.checkpoint ?? {})) {
    const bytes = disk.kept.get(name) ?? new Uint8Array();
    for (const [tensor, value] of readSafetensors(bytes).tensors) tensors.set(tensor, value);
  }
  return { past, tensors };
}

const partOf = (name: string): string => `${name}.part`;
const nameOf = (bytes: Uint8Array): string => new Hasher().bytes(bytes).digest();
