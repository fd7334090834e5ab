/**
 * A run in figures for Prometheus, through OpenTelemetry: a fold over its records,
 * and beside it what only this process knows of itself. Nobody else counts anything.
 * Figures are read when somebody asks; between, they cost nothing but the fold.
 */
import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import { PrometheusSerializer } from "@opentelemetry/exporter-prometheus";
import { AggregationType, MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";
import type { NodeId } from "../base/ids.ts";
import type { NodeJoined, RoundCommitted, RunRecord } from "../run/metrics/record.ts";
import type { RecordListener } from "./recording.ts";

/** Bounds of the histogram of rounds, in seconds: from a laptop's toy to a fleet's hour. */
const roundBounds = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600];

/** Why a chain was dropped, in few words: records say it in many, and series must stay few. */
const dropReasons: readonly (readonly [RegExp, string])[] = [
  [/missed the deadline/, "deadline"],
  [/not finite/, "not finite"],
  [/left: (it broke|broke) the protocol/, "protocol"],
  [/left: sent |does not fit/, "misfit"],
  [/left: silent/, "silent"],
  [/left: it failed/, "failed"],
  [/left: its token/, "revoked"],
  [/left: /, "left"],
];
const dropReasonOf = (text: string): string =>
  dropReasons.find(([pattern]) => pattern.test(text))?.[1] ?? "other";

/** Hands figures to whoever asks for them, and to nobody else. */
class Reader extends MetricReader {
  protected override async onForceFlush(): Promise<void> {}
  protected override async onShutdown(): Promise<void> {}
}

/** The figures of one run. */
export class RunMetrics {
  readonly #reader = new Reader();
  readonly #provider = new MeterProvider({
    readers: [this.#reader],
    views: [
      {
        instrumentName: "edgeloom_round_duration_seconds",
        aggregation: {
          type: AggregationType.EXPLICIT_BUCKET_HISTOGRAM,
          options: { boundaries: roundBounds },
        },
      },
    ],
  });
  readonly #meter = this.#provider.getMeter("edgeloom");
  readonly #serializer = new PrometheusSerializer("", false, undefined, true, true);
  readonly #lag = monitorEventLoopDelay({ resolution: 10 });
  readonly #members = new Map<NodeId, NodeJoined["kind"]>();
  /** Newest value of each figure that goes up and down; absent until it is known. */
  readonly #latest = new Map<string, number>();
  readonly #rounds = this.#counter("edgeloom_rounds_total", "Rounds committed");
  readonly #roundSeconds = this.#meter.createHistogram("edgeloom_round_duration_seconds", {
    description: "Time from a round's beginning to its commit",
  });
  readonly #bytes = this.#counter(
    "edgeloom_bytes_total",
    "Bytes between coordinator and nodes in committed rounds, by direction as nodes see it",
  );
  readonly #drops = this.#counter("edgeloom_chains_dropped_total", "Chains dropped from rounds");
  readonly #joins = this.#counter("edgeloom_joins_total", "Nodes that joined");
  readonly #leaves = this.#counter("edgeloom_leaves_total", "Nodes that left");
  readonly #plans = this.#counter("edgeloom_plans_total", "Plans made");

  constructor() {
    this.#lag.enable();
    // Counters are there from the first look on, so that rates over them begin at 0.
    this.#rounds.add(0);
    for (const direction of ["up", "down"]) this.#bytes.add(0, { direction });
    this.#gauge("edgeloom_loss", "Mean training loss of the newest round");
    this.#gauge("edgeloom_accuracy", "Newest accuracy on held-out samples, 0 to 1");
    this.#gauge("edgeloom_held_out_loss", "Newest loss on held-out samples");
    this.#gauge("edgeloom_rounds_asked", "Rounds that the job asks for");
    this.#gauge("edgeloom_term", "Term of the plan in force");
    this.#observeMembers();
    this.#observeProcess();
  }

  /** Takes the next record. */
  readonly add: RecordListener = (record: RunRecord) => {
    switch (record.type) {
      case "run":
        this.#latest.set("edgeloom_rounds_asked", record.rounds);
        return;
      case "joined":
        this.#members.set(record.node, record.kind);
        return this.#joins.add(1, { kind: record.kind });
      case "left":
        this.#leaves.add(1, { kind: this.#members.get(record.node) ?? "device" });
        this.#members.delete(record.node);
        return;
      case "planned":
        this.#latest.set("edgeloom_term", record.plan.term);
        return this.#plans.add(1);
      case "round":
        return this.#addRound(record);
      case "evaluation":
        this.#note("edgeloom_accuracy", record.accuracy);
        return this.#note("edgeloom_held_out_loss", record.loss);
      default:
        return;
    }
  };

  /** All figures as of now, in Prometheus' text form. */
  async text(): Promise<string> {
    const { resourceMetrics, errors } = await this.#reader.collect();
    if (errors.length > 0) throw new AggregateError(errors, "figures could not be read");
    return this.#serializer.serialize(resourceMetrics);
  }

  /** Stops measuring this process. */
  close(): void {
    this.#lag.disable();
    void this.#provider.shutdown();
  }

  #addRound({ ms, loss, dropped, nodes }: RoundCommitted): void {
    this.#rounds.add(1);
    this.#roundSeconds.record(ms / 1000);
    this.#note("edgeloom_loss", loss);
    for (const { reason } of dropped) this.#drops.add(1, { reason: dropReasonOf(reason) });
    const sum = (bytes: readonly number[]): number => bytes.reduce((all, one) => all + one, 0);
    this.#bytes.add(sum(nodes.map(({ bytesUp }) => bytesUp)), { direction: "up" });
    this.#bytes.add(sum(nodes.map(({ bytesDown }) => bytesDown)), { direction: "down" });
  }

  #note(name: string, value: number | null): void {
    if (value !== null) this.#latest.set(name, value);
  }

  #counter(name: string, description: string) {
    return this.#meter.createCounter(name, { description });
  }

  #gauge(name: string, description: string): void {
    this.#meter.createObservableGauge(name, { description }).addCallback((result) => {
      const value = this.#latest.get(name);
      if (value !== undefined) result.observe(value);
    });
  }

  #observeMembers(): void {
    const members = this.#meter.createObservableGauge("edgeloom_members", {
      description: "Nodes that are members now",
    });
    members.addCallback((result) => {
      for (const kind of ["device", "edge", "cloud"] as const) {
        const count = [...this.#members.values()].filter((member) => member === kind).length;
        result.observe(count, { kind });
      }
    });
  }

  #observeProcess(): void {
    const cpu = this.#meter.createObservableCounter("process_cpu_seconds_total", {
      description: "Processor time of the server's process, user and system",
    });
    cpu.addCallback((result) => {
      const { user, system } = process.cpuUsage();
      result.observe((user + system) / 1e6);
    });
    const memory = this.#meter.createObservableGauge("process_resident_memory_bytes", {
      description: "Resident memory of the server's process",
    });
    memory.addCallback((result) => result.observe(process.memoryUsage.rss()));
    const lag = this.#meter.createObservableGauge("nodejs_eventloop_lag_p99_seconds", {
      description: "99th percentile of the event loop's lag since the last look",
    });
    lag.addCallback((result) => {
      result.observe(this.#lag.count === 0 ? 0 : this.#lag.percentile(99) / 1e9);
      this.#lag.reset();
    });
    const start = this.#meter.createObservableGauge("process_start_time_seconds", {
      description: "When the process started, Unix time",
    });
    start.addCallback((result) => result.observe(performance.timeOrigin / 1000));
  }
}
