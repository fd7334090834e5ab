/**
 * The journal of a run in its folder: entries in SQLite, with a write-ahead log that is made
 * durable at every entry, and kept tensors as files named by the SHA-256 of their bytes. Who has it
 * open holds it alone, so two coordinators never write to one run.
 */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setImmediate as breathe } from "node:timers/promises";
import { InputError, messageOf } from "../base/errors.ts";
import { readSafetensors } from "../base/safetensors.ts";
import type { DenseTensor } from "../base/tensor.ts";
import { settle } from "../engine/callbacks.ts";
import type { Legacy } from "../run/coordinator/coordinator-options.ts";
import { readJournal } from "../run/coordinator/journal.ts";
import type { Journal } from "../run/host.ts";
import { replaceFile } from "./replace-file.ts";

/** The database with a run's decisions. */
export const journalFile = "journal.sqlite";

/** The folder of the tensors that they speak of. */
const checkpointsFolder = "checkpoints";

/** A run's journal that is open. */
export interface RunJournal extends Journal {
  /** What was written down about how the run is served; null for nothing. */
  readonly setting: unknown;
  /** Writes down how the run is served, as JSON. */
  set(setting: unknown): void;
  /**
   * What an earlier coordinator has left; undefined where it has not decided anything.
   * @throws InputError where entries cannot be read, or no checkpoint is whole
   */
  legacy(): Legacy | undefined;
  /** Ends writing; a second time changes nothing. */
  close(): void;
}

/**
 * Opens the journal in a run's folder, or makes a new one there.
 * @throws InputError where another process has it open, or it cannot be read or written
 */
export function openJournal(folder: string): RunJournal {
  const files = join(folder, checkpointsFolder);
  const database = openDatabase(join(folder, journalFile));
  const insert = database.prepare("INSERT INTO journal(entry) VALUES (?)");
  const entries = (): string[] =>
    database
      .prepare("SELECT entry FROM journal ORDER BY id")
      .all()
      .map(({ entry }) => String(entry));
  let isOpen = true;
  /** Files are written one after the other: a disk does not get faster by being asked twice. */
  let last: Promise<unknown> = Promise.resolve();
  return {
    get setting() {
      const row = database.prepare("SELECT value FROM setting").get();
      return row === undefined ? null : JSON.parse(String(row.value));
    },
    set(setting) {
      database
        .prepare("INSERT OR REPLACE INTO setting(id, value) VALUES (1, ?)")
        .run(JSON.stringify(setting));
    },
    legacy() {
      const written = entries();
      if (written.length === 0) return undefined;
      const whole = wholeFiles(files);
      const past = readJournal(written, (name) => whole.has(name));
      sweep(files, (name) => whole.has(name) && past.kept.has(name));
      const tensors = new Map<string, DenseTensor>();
      for (const name of Object.values(past.checkpoint ?? {})) {
        const bytes = new Uint8Array(readFileSync(pathOf(files, name)));
        for (const [tensor, value] of readSafetensors(bytes).tensors) tensors.set(tensor, value);
      }
      return { past, tensors };
    },
    append(entry, done) {
      const write = (): null => {
        insert.run(entry);
        return null;
      };
      void settle(new Promise<null>((resolve) => resolve(write())), done);
    },
    keep(parts, done) {
      last = last.then(() => settle(keepFile(files, parts), done));
    },
    release(names) {
      for (const name of names) {
        // What cannot be freed now is freed when the run is opened next.
        last = last.then(() => rm(pathOf(files, name), { force: true }).catch(() => {}));
      }
    },
    close() {
      if (isOpen) database.close();
      isOpen = false;
    },
  };
}

/** Removes the journal from a folder, with all that it keeps. */
export function removeJournal(folder: string): void {
  for (const suffix of ["", "-wal", "-shm"]) {
    rmSync(join(folder, journalFile + suffix), { force: true });
  }
  rmSync(join(folder, checkpointsFolder), { recursive: true, force: true });
}

function openDatabase(path: string): DatabaseSync {
  try {
    const database = new DatabaseSync(path);
    // Exclusive from the first write on until it is closed.
    database.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL");
    database.exec("PRAGMA synchronous = FULL");
    database.exec(
      "CREATE TABLE IF NOT EXISTS journal(id INTEGER PRIMARY KEY, entry TEXT NOT NULL)",
    );
    database.exec(
      "CREATE TABLE IF NOT EXISTS setting(id INTEGER PRIMARY KEY, value TEXT NOT NULL)",
    );
    database.exec("BEGIN EXCLUSIVE; COMMIT");
    return database;
  } catch (error) {
    const text = messageOf(error);
    const isTaken = /locked|busy/.test(text);
    throw new InputError(
      {
        what: "run",
        received: isTaken ? `${path}, which another process has open` : `${path} (${text})`,
        allowed: isTaken
          ? "a run that nobody serves: end the other process, or watch its page"
          : "a journal that can be read and written",
      },
      { cause: error },
    );
  }
}

const pathOf = (files: string, name: string): string => join(files, `${name}.safetensors`);

/** Names of the kept files that hold what their names say. */
function wholeFiles(files: string): Set<string> {
  const whole = filesIn(files).filter((file) => {
    const bytes = readFileSync(join(files, file));
    return createHash("sha256").update(bytes).digest("hex") === nameOf(file);
  });
  return new Set(whole.map(nameOf));
}

/**
 * Frees what a crash has left behind: half-written files, and those that no entry speaks of any
 * more; and damaged ones, in whose place the same bytes may have to be kept anew.
 */
function sweep(files: string, isNeeded: (name: string) => boolean): void {
  for (const file of filesIn(files)) {
    if (!isNeeded(nameOf(file))) rmSync(join(files, file), { force: true });
  }
}

const filesIn = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder) : []);
const nameOf = (file: string): string => file.replace(/\.safetensors$/, "");

/** Keeps bytes under their hash; the folder is made durable as well, so that the name is. */
async function keepFile(files: string, parts: readonly Uint8Array[]): Promise<string> {
  const hash = createHash("sha256");
  for (const part of parts) {
    hash.update(part);
    // A large model takes its time: heartbeats go on in between.
    if (part.length > 1 << 20) await breathe();
  }
  const name = hash.digest("hex");
  const path = pathOf(files, name);
  if (existsSync(path)) return name;
  await replaceFile(path, parts);
  const folder = await open(files, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
  return name;
}
