/**
 * One device and one distant server, planned by `feature-replay`, against the device alone and serial split learning with the best
 * cut: as it is published, and with the same codecs. Times from batch to batch are those of the real peers in
 * virtual time; `docs/benchmarks.md` says what devices, clouds and links are.
 */
import { formatMs, type PlanRequest, planners, version } from "edgeloom";
import { atLeast, atMost, type Bench, type Goal, optionsOf, type Row, tell } from "./bench.ts";
import {
  askedFor,
  type Cell,
  cellsOf,
  requestOf,
  type Setting,
  subjectOf,
} from "./feature-replay-cells.ts";
import { engineMs, engineSegments } from "./feature-replay-engine.ts";
import { bestWay, lineTimes, playedMs, type Way } from "./feature-replay-line.ts";
import { realFeatureReplay } from "./feature-replay-real.ts";
import { simulatedPeriodMs, wayOf, wayText } from "./feature-replay-run.ts";
import { geometricMean } from "./statistics.ts";

const codecs = ["float32", "float16", "affine8"] as const;
const windows = Array.from({ length: 17 }, (_, window) => window);
/** So many batches that the first one and the weights' way home do not count. */
const manyBatches = 10_000;

export const featureReplay: Bench = {
  summary:
    "one device and one distant server over slow links, against serial split learning [--models A,B] [--scenario FILE]; on processes: --real [--scenario FILE]",
  async run(args) {
    if (args.includes("--real")) {
      const rest = args.filter((arg) => arg !== "--real");
      const { scenario } = optionsOf(rest, { scenario: "" });
      return realFeatureReplay(scenario === "" ? null : scenario);
    }
    const { models, setting } = askedFor(args);
    const outcomes: Outcome[] = [];
    for (const model of models) {
      for (const cell of cellsOf(subjectOf(model, setting), setting)) {
        tell(`${model}, ${cell.slowdown} x slower, ${cell.link.name} ...`);
        outcomes.push(await outcomeOf(cell));
      }
    }
    const planning = engineMs();
    return {
      rows: outcomes.map(rowOf),
      goals: [...goalsOf(outcomes, setting), planningGoal(planning)],
      versions: { edgeloom: version },
      seed: 1,
      notes: [
        "ms a batch in virtual time: real peers and messages, the null engine, codecs' time at both ends; the device alone by its profile",
        "exhaustive: every cut, window to 16, pair of codecs and kind of backward pass, each played batch by batch",
        playNote(outcomes),
        "serial splits have the cut that is best for them, or are the device alone; played, so that messages cost them nothing",
      ],
    };
  },
};

/** What every scheme comes to in a cell, in milliseconds from batch to batch. */
interface Outcome {
  readonly cell: Cell;
  readonly way: Way;
  readonly simulatedMs: number;
  readonly serialMs: number;
  readonly codedMs: number;
  /** The engine's choice, and the best of all, played. */
  readonly playedMs: number;
  readonly bestMs: number;
  readonly plain: Plain;
}

/** The engine's choice with gradients as they are. */
interface Plain {
  readonly playedMs: number;
  /** The link down over the next longest part. */
  readonly downShare: number;
}

async function outcomeOf(cell: Cell): Promise<Outcome> {
  const request = requestOf(cell, manyBatches);
  const serial = bestWay(request, { codecs: ["float32"], windows: [0] });
  const coded = bestWay(request, { codecs, windows: [0] });
  const way = wayOf(planners["feature-replay"](request));
  const onlyUp = { up: codecs, down: ["float32"] as const };
  return {
    ...{ cell, way },
    simulatedMs: await periodOf(cell, request, way),
    serialMs: serial.periodMs,
    codedMs: coded.periodMs,
    playedMs: playedMs(request, way),
    bestMs: bestWay(request, { codecs, windows }).periodMs,
    plain: plainOf(
      request,
      wayOf(planners["feature-replay"]({ ...request, featureReplay: onlyUp })),
    ),
  };
}

const isAlone = ({ segments }: PlanRequest, { cut }: Way): boolean => cut === segments.length;

/** Alone a device does step after step, in which there is nothing to simulate. */
const periodOf = async (cell: Cell, request: PlanRequest, way: Way): Promise<number> =>
  isAlone(request, way) ? playedMs(request, way) : simulatedPeriodMs(cell, way);

function plainOf(request: PlanRequest, way: Way): Plain {
  if (isAlone(request, way)) return { playedMs: playedMs(request, way), downShare: 0 };
  const { forwardMs, backwardMs, upMs, serverMs, downMs } = lineTimes(request, way);
  const next = Math.max(forwardMs + backwardMs, upMs, serverMs);
  return { playedMs: playedMs(request, way), downShare: downMs / next };
}

function rowOf({ cell, way, ...outcome }: Outcome): Row {
  const { simulatedMs, serialMs, codedMs, playedMs: played, bestMs } = outcome;
  return {
    model: cell.subject.model,
    "device, x slower": cell.slowdown,
    link: cell.link.name,
    chosen: wayText(way, cell.subject.costs.length),
    "ms a batch": simulatedMs,
    "serial split": serialMs,
    "with codecs": codedMs,
    "x serial": serialMs / simulatedMs,
    "x with codecs": codedMs / simulatedMs,
    "exhaustive over chosen": bestMs / played,
  };
}

/** Down in gradients, or what they are in the cells where they are the longest part. */
const isDownBound = ({ plain }: Outcome): boolean => plain.downShare >= 1.5;

function goalsOf(outcomes: readonly Outcome[], { megabytesPerSecond }: Setting): Goal[] {
  const names = new Set(megabytesPerSecond.map((megabytes) => `${megabytes} MB/s`));
  const asked = outcomes.filter(({ cell }) => names.has(cell.link.name));
  const overSerial = outcomes.map(({ serialMs, simulatedMs }) => serialMs / simulatedMs);
  const bound = outcomes.filter(isDownBound);
  const of = "geometric mean of 3, 10 and 30 MB/s";
  return [
    atLeast(
      `over the best serial split or the device alone, ${of}`,
      geometricMean(asked.map(({ serialMs, simulatedMs }) => serialMs / simulatedMs)),
      2.5,
    ),
    atLeast(
      `over the best serial split with the same codecs, ${of}`,
      geometricMean(asked.map(({ codedMs, simulatedMs }) => codedMs / simulatedMs)),
      1.6,
    ),
    atLeast(
      "over the best serial split or the device alone, worst cell",
      Math.min(...overSerial),
      0.98,
    ),
    atLeast(
      `coding gradients as well, geometric mean of ${bound.length} cells where they are longest on their way`,
      geometricMean(bound.map(({ plain, playedMs: played }) => plain.playedMs / played)),
      1.5,
    ),
    atMost(
      "time of the engine's choice over the best of all, worst cell",
      outcomes.map(({ playedMs: played, bestMs }) => played / bestMs),
      1.05,
      "x",
    ),
  ];
}

/** How far the real peers are from the play. */
function playNote(outcomes: readonly Outcome[]): string {
  const share = ({ simulatedMs, playedMs: played }: Outcome): number => simulatedMs / played;
  const worst = outcomes.reduce((a, b) => (share(b) > share(a) ? b : a));
  const { subject, slowdown, link } = worst.cell;
  return (
    `peers take ${geometricMean(outcomes.map(share)).toFixed(3)} x the played time (geometric mean), at most ` +
    `${share(worst).toFixed(2)} x: ${subject.model}, ${slowdown} x slower, ${link.name}`
  );
}

const planningGoal = (ms: number): Goal => ({
  name: `plan over ${engineSegments} segments and 16 pairs of codecs, median (${formatMs(ms)})`,
  ...{ value: ms, goal: 1, unit: "ms of processor time, at most", met: ms <= 1 },
});
