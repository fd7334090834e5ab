/** The runs under one folder: a list of them, their records, their files. */
import { existsSync } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { InputError } from "../base/errors.ts";
import { RunHistory } from "../run/metrics/history.ts";
import { listingOf, type RunListing } from "../run/metrics/listing.ts";
import { RecordReader } from "../run/metrics/read.ts";
import { runFiles } from "./run-folder.ts";

/** A run as its records tell it. */
export interface OpenedRun {
  readonly history: RunHistory;
  /** What could not be read, in words. */
  readonly notes: readonly string[];
}

/** Lists and opens past runs; never writes. */
export class RunArchive {
  readonly #root: string;
  /** Lines of runs by folder name, good while the size and time of their records stay. */
  readonly #listings = new Map<string, { readonly stamp: string; readonly listing: RunListing }>();

  constructor(root: string) {
    this.#root = root;
  }

  /** Every run, newest first; one folder after the other, so that a server goes on meanwhile. */
  async list(): Promise<RunListing[]> {
    const listings: RunListing[] = [];
    for (const run of (await readdir(this.#root).catch(() => [])).sort().reverse()) {
      const path = this.file(run, runFiles.records);
      if (path === null) continue;
      const { size, mtimeMs } = await stat(path);
      const stamp = `${size} ${mtimeMs}`;
      const known = this.#listings.get(run);
      if (known?.stamp === stamp) {
        listings.push(known.listing);
        continue;
      }
      const listing = await this.#read(run, size);
      this.#listings.set(run, { stamp, listing });
      listings.push(listing);
    }
    return listings;
  }

  /** The run's line, from its summary where it ended well, from its records where not. */
  async #read(run: string, recordBytes: number): Promise<RunListing> {
    const summary = this.file(run, runFiles.summary);
    if (summary !== null) {
      const kept = parseSummary(await readFile(summary, "utf8"));
      if (kept?.recordBytes === recordBytes) return { ...kept.listing, files: this.#filesOf(run) };
    }
    const { history, notes } = await this.open(run);
    return listingOf(run, history, { notes, files: this.#filesOf(run) });
  }

  /** @throws InputError where there is no such run */
  async open(run: string): Promise<OpenedRun> {
    const reader = new RecordReader();
    const history = new RunHistory();
    for (const timed of reader.takeFile(await this.records(run))) history.add(timed);
    return { history, notes: reader.notes };
  }

  /** Text of a run's `records.jsonl`. @throws InputError where there is no such run */
  async records(run: string): Promise<string> {
    const path = this.file(run, runFiles.records);
    if (path === null) {
      throw new InputError({
        what: "run",
        received: run,
        allowed: `a folder with ${runFiles.records} under ${this.#root}: see edgeloom runs`,
      });
    }
    return readFile(path, "utf8");
  }

  /** Path of one of a run's files; null where it is not there, or is no file of a run. */
  file(run: string, name: string): string | null {
    const isKnown = (Object.values(runFiles) as string[]).includes(name);
    // A run is a folder right under the root, whatever a request says.
    if (!isKnown || run !== basename(run) || run.startsWith(".")) return null;
    const path = join(this.#root, run, name);
    return existsSync(path) ? path : null;
  }

  #filesOf(run: string): string[] {
    return Object.values(runFiles).filter((name) => this.file(run, name) !== null);
  }
}

/** What `summary.json` holds: the run's line, and how long its records were when it was written. */
export interface StoredSummary {
  readonly recordBytes: number;
  readonly listing: RunListing;
}

function parseSummary(text: string): StoredSummary | null {
  try {
    return JSON.parse(text) as StoredSummary;
  } catch {
    return null;
  }
}
