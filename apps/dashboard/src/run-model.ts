/**
 * A run as the page holds it: the history that grows with each record, and two
 * beats on which views draw. Records are folded at once; drawing waits for the
 * next beat, so that many records cost one drawing.
 */
import { computed, type Signal, signal } from "@preact/signals";
import { RunHistory, type RunSummary, type TimedRecord } from "edgeloom";

type NodeSummary = RunSummary["nodes"][number];

/** Clouds and edge servers first, then devices as people count: 2 before 10. */
const rank = { cloud: 0, edge: 1, device: 2 } as const;
const names = new Intl.Collator("en", { numeric: true });
const byKindAndName = (a: NodeSummary, b: NodeSummary): number =>
  rank[a.kind] - rank[b.kind] || names.compare(a.name, b.name);

/** How often views of lasting records draw at most: faster than anybody reads. */
const beatMs = 200;
/** Drawing takes at most one part in so many of the time: a large fleet draws less often. */
const restParts = 10;

export type NodeId = NodeSummary["node"];

export class RunModel {
  readonly history = new RunHistory();
  /** Name of its folder. */
  readonly run: string;
  /** What the reader should know about the records, in words. */
  readonly notes: Signal<readonly string[]> = signal([]);
  /** The node that the reader looks at, in all views alike. */
  readonly selected: Signal<NodeId | null> = signal(null);
  /** Grows when lasting records were drawn. Read it to draw again. */
  readonly beat: Signal<number> = signal(0);
  /** Whether activity has ever come: then there is a time line to draw. */
  readonly hasActivity: Signal<boolean> = signal(false);
  /** What the run came to, at the last beat. */
  readonly summary = computed(() => {
    this.beat.value;
    const { nodes, ...rest } = this.history.summary;
    return { ...rest, nodes: nodes.toSorted(byKindAndName) };
  });
  /** Page time minus run time, at the record that came with the least delay. */
  #offsetMs = Number.POSITIVE_INFINITY;
  #isScheduled = false;
  #drawnAtMs = Number.NEGATIVE_INFINITY;
  #restMs = beatMs;

  constructor(run: string) {
    this.run = run;
  }

  /** All records of a run that is over. */
  static of(run: string, records: readonly TimedRecord[], notes: readonly string[]): RunModel {
    const model = new RunModel(run);
    for (const record of records) model.history.add(record);
    model.hasActivity.value = model.history.activity.size > 0;
    model.notes.value = notes;
    return model;
  }

  /** Records that just came over the wire. */
  add(records: readonly TimedRecord[]): void {
    const nowMs = performance.now();
    let hasLasting = false;
    for (const timed of records) {
      this.history.add(timed);
      if (timed.record.type !== "activity") hasLasting = true;
      else if (!this.hasActivity.peek()) this.hasActivity.value = true;
      // Of records that are old when they come, only the newest counts.
      this.#offsetMs = Math.min(this.#offsetMs, nowMs - timed.atMs);
    }
    if (hasLasting) this.#schedule(nowMs);
  }

  /** Chooses a node to look at, or none when it is chosen already. */
  readonly choose = (node: NodeId): void => {
    this.selected.value = this.selected.peek() === node ? null : node;
  };

  /** The run's own time by the page's clock; the newest record's where the page cannot know. */
  nowMs(): number {
    if (!Number.isFinite(this.#offsetMs)) return this.history.atMs;
    return Math.max(performance.now() - this.#offsetMs, this.history.atMs);
  }

  /** Draws what has come, at once: the connection is lost, and nothing may look older than that. */
  flush(): void {
    if (this.#isScheduled) this.beat.value++;
  }

  #schedule(nowMs: number): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    const waitMs = Math.max(0, this.#drawnAtMs + this.#restMs - nowMs);
    setTimeout(() => requestAnimationFrame(() => this.#draw()), waitMs);
  }

  #draw(): void {
    const beganMs = performance.now();
    this.#isScheduled = false;
    this.#drawnAtMs = beganMs;
    this.beat.value++;
    // After the frame, so that layout and painting count as well.
    setTimeout(() => {
      const tookMs = performance.now() - beganMs;
      this.#restMs = Math.min(Math.max(beatMs, restParts * tookMs), 5 * beatMs);
    });
  }
}
