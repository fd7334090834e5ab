/**
 * Draws scenarios in which a device walks past edge servers. Base stations stand on a grid, each
 * with a server and a backhaul; the device walks from one random waypoint to the next, keeps to
 * the station that it hears best, and its radio gets slower with distance. Servers have other
 * tenants that come and go, and may crash. All of it comes from parameters and a seed: what is
 * drawn is the fleet, the traces and the faults of a scenario, as its file would say them.
 */
import * as z from "zod/mini";
import { assert, present } from "../base/assert.ts";
import { type Random, random } from "../base/random.ts";
import { issueError } from "../run/job.ts";

const positive = z.number().check(z.positive());
const nonnegative = z.number().check(z.nonnegative());
const range = z
  .tuple([nonnegative, nonnegative])
  .check(z.refine(([least, most]) => least <= most, "the least, then the most"));

/** How often the device listens to its stations. */
const listenSeconds = 1;

const crashesSchema = z.strictObject({
  /** Mean time from the start, or from a return, to the crash of a server. */
  everySeconds: positive,
  /** How long it is away: uniform between both. */
  forSeconds: range,
  /** Share of the crashes of which nobody is told, as when power fails. */
  silent: z.number().check(z.nonnegative(), z.maximum(1)),
});

const mobilitySchema = z.strictObject({
  durationSeconds: positive,
  /** Stations in the middle of squares of `spacingM` metres. */
  grid: z.strictObject({
    columns: z.int().check(z.positive()),
    rows: z.int().check(z.positive()),
    spacingM: positive,
  }),
  /** Random waypoint: the least and the greatest speed, and how long the device stays at each point. */
  walk: z.strictObject({
    metresPerSecond: range.check(z.refine(([least]) => least > 0, "above 0")),
    pauseSeconds: range,
  }),
  radio: z.strictObject({
    /** The greatest distance at which a station is heard. */
    rangeM: positive,
    /** The signal falls with this power of the distance. */
    pathLossExponent: positive,
    /** The rate from so many decibels above what is heard at `rangeM`, from 0 upwards. */
    mbitByDecibels: z.array(z.tuple([nonnegative, positive])).check(z.minLength(1)),
    ms: nonnegative,
  }),
  /** Another station takes over when it is heard so much better; nothing passes for the gap. */
  handOver: z.strictObject({
    hysteresisDecibels: nonnegative,
    gapSeconds: nonnegative.check(z.maximum(listenSeconds)),
  }),
  /** Each station's line, each way. */
  backhaul: z.strictObject({ mbit: positive, ms: nonnegative }),
  servers: z.strictObject({
    /** Each server has one of these speeds, as in a scenario. */
    speeds: z.array(positive).check(z.minLength(1)),
    ms: nonnegative,
    /** Others who use a server now and then; its time is shared equally among those present. */
    tenants: z.int().check(z.nonnegative()),
    presentSeconds: positive,
    absentSeconds: positive,
  }),
  device: z.strictObject({ speed: positive, samples: z.int().check(z.positive()) }),
  /** Which seeds are drawn in which manner. */
  sets: z
    .array(
      z.strictObject({
        name: z.string(),
        /** The first and the last one. */
        seeds: z.tuple([z.int(), z.int()]),
        /** In place of the grid's. */
        spacingM: z.optional(positive),
        crashes: z.optional(crashesSchema),
      }),
    )
    .check(z.minLength(1)),
});

/** Where devices walk, what links and servers give, and which seeds are drawn how. */
export type Mobility = z.infer<typeof mobilitySchema>;
/** One manner of drawing. */
export type MobilitySet = Mobility["sets"][number];

/** Fields of a scenario file, for `parseScenario` beside those of a job. */
export interface MobilityFields {
  readonly fleet: object;
  readonly traces: readonly object[];
  readonly faults: readonly object[];
}

/** Checks parameters. @throws InputError naming the field, what was received and what is allowed */
export function parseMobility(raw: unknown, where = "mobility"): Mobility {
  const parsed = mobilitySchema.safeParse(raw);
  if (parsed.success) return parsed.data;
  throw issueError(raw, present(parsed.error.issues[0], "an issue"), () => where);
}

/** The device's name in scenarios that are drawn. */
const device = "phone";

/**
 * Draws one trace: the fleet with its cells, how everything changes, and what goes wrong. The same
 * parameters and seed give the same.
 */
export function drawMobility(mobility: Mobility, set: MobilitySet, seed: number): MobilityFields {
  const chance = random(seed);
  const { backhaul, servers, radio } = mobility;
  const spacingM = set.spacingM ?? mobility.grid.spacingM;
  const stations = stationsOf({ ...mobility.grid, spacingM });
  const walk = new Walk(mobility, stations, spacingM, chance.fork("walk"));
  const { cells, rates } = walk.traces();
  const [[, firstCell] = [0, null]] = cells;
  const nodes = stations.map(({ cell, server }) => ({
    name: server,
    kind: "edge",
    speed: pick(chance.fork(`${server} speed`), servers.speeds),
    ms: servers.ms,
    behind: cell,
  }));
  return {
    fleet: {
      nodes: [
        {
          name: device,
          kind: "device",
          ...mobility.device,
          // It declares no rate of its link, since it knows none that will hold; the trace has it from the start.
          ms: radio.ms,
          behind: firstCell,
        },
        ...nodes,
      ],
      cells: stations.map(({ cell }) => ({
        name: cell,
        upMbit: backhaul.mbit,
        downMbit: backhaul.mbit,
        ms: backhaul.ms,
      })),
    },
    traces: [
      { node: device, behind: cells },
      { link: device, mbit: rates },
      ...stations.map(({ server }) => ({
        node: server,
        speed: drawLoad(chance.fork(`${server} load`), mobility),
      })),
    ],
    faults: stations.flatMap(({ server }) =>
      drawCrashes(chance.fork(`${server} crashes`), server, set.crashes, mobility),
    ),
  };
}

interface Point {
  readonly x: number;
  readonly y: number;
}

interface Station extends Point {
  readonly cell: string;
  readonly server: string;
}

function stationsOf({ columns, rows, spacingM }: Mobility["grid"]): Station[] {
  return Array.from({ length: columns * rows }, (_, i) => ({
    cell: `cell-${i + 1}`,
    server: `server-${i + 1}`,
    x: ((i % columns) + 0.5) * spacingM,
    y: (Math.floor(i / columns) + 0.5) * spacingM,
  }));
}

const pick = <T>(chance: Random, from: readonly T[]): T =>
  present(from[chance.below(from.length)], "one of several");

const between = (chance: Random, [least, most]: readonly [number, number]): number =>
  least + (most - least) * chance.uniform();

/** Time to the next event of those that come at random with this mean. */
const exponential = (chance: Random, mean: number): number =>
  -mean * Math.log(1 - chance.uniform());

/** Seconds to the millisecond: the last bits of logarithms differ between platforms. */
const rounded = (seconds: number): number => Math.round(1000 * seconds) / 1000;

/** How long the device walks before the trace begins, so that where it begins is nothing special. */
const warmUpSeconds = 1000;

/** A device on its way, and the station that it keeps to. */
class Walk {
  readonly #mobility: Mobility;
  readonly #stations: readonly Station[];
  readonly #sides: Point;
  readonly #chance: Random;
  #from: Point;
  #to: Point;
  #leavesAt = 0;
  #arrivesAt = 0;

  constructor(mobility: Mobility, stations: readonly Station[], spacingM: number, chance: Random) {
    this.#mobility = mobility;
    this.#stations = stations;
    const { columns, rows } = mobility.grid;
    this.#sides = { x: columns * spacingM, y: rows * spacingM };
    this.#chance = chance;
    this.#from = this.#waypoint();
    this.#to = this.#from;
  }

  /** The cell that it is behind (null for none in reach) and the rate of its radio, whenever they change. */
  traces(): { cells: [number, string | null][]; rates: [number, number][] } {
    const { durationSeconds, handOver } = this.#mobility;
    const cells: [number, string | null][] = [];
    const rates: [number, number][] = [];
    let begun = warmUpSeconds;
    let own: Station | null = null;
    for (let at = begun; at - begun < durationSeconds; at += listenSeconds) {
      const here = this.#at(at);
      const next = this.#choose(here, own);
      // A run begins where there is a station.
      if (cells.length === 0 && next === null) begun = at + listenSeconds;
      const seconds = at - begun;
      if (next !== own && seconds >= 0) {
        if (cells.length > 0) cells.push([seconds, null]);
        const since = cells.length === 0 ? seconds : seconds + handOver.gapSeconds;
        if (next !== null) cells.push([rounded(since), next.cell]);
      }
      own = next;
      if (own === null) continue;
      const mbit = this.#mbit(decibels(here, own, this.#mobility.radio));
      if (rates.at(-1)?.[1] !== mbit) rates.push([seconds, mbit]);
    }
    return { cells: withoutRepeats(cells), rates };
  }

  /** Its place at a time that is not before the one that was asked for last. */
  #at(seconds: number): Point {
    const { walk } = this.#mobility;
    while (seconds >= this.#arrivesAt) {
      this.#from = this.#to;
      this.#to = this.#waypoint();
      this.#leavesAt = this.#arrivesAt + between(this.#chance, walk.pauseSeconds);
      const pace = between(this.#chance, walk.metresPerSecond);
      this.#arrivesAt = this.#leavesAt + distance(this.#from, this.#to) / pace;
    }
    const share = Math.max(0, seconds - this.#leavesAt) / (this.#arrivesAt - this.#leavesAt);
    const [from, to] = [this.#from, this.#to];
    return { x: from.x + share * (to.x - from.x), y: from.y + share * (to.y - from.y) };
  }

  #waypoint(): Point {
    const { x, y } = this.#sides;
    return { x: x * this.#chance.uniform(), y: y * this.#chance.uniform() };
  }

  /** Keeps to its station while it hears it, and no other one much better. */
  #choose(here: Point, own: Station | null): Station | null {
    const { radio, handOver } = this.#mobility;
    const heard = (station: Station): number => decibels(here, station, radio);
    const [best] = this.#stations.toSorted((a, b) => heard(b) - heard(a));
    if (best === undefined || heard(best) < 0) return null;
    const stays =
      own !== null && heard(own) >= 0 && heard(best) < heard(own) + handOver.hysteresisDecibels;
    return stays ? own : best;
  }

  #mbit(signal: number): number {
    const step = this.#mobility.radio.mbitByDecibels.findLast(([least]) => signal >= least);
    assert(step !== undefined, "a station in reach gives a rate");
    return step[1];
  }
}

const distance = (a: Point, b: Point): number => Math.sqrt((a.x - b.x) ** 2 + (a.y - b.y) ** 2);

/** How much stronger a station is heard than at the end of its range. */
function decibels(here: Point, there: Point, radio: Mobility["radio"]): number {
  const metres = Math.max(1, distance(here, there));
  return 10 * radio.pathLossExponent * Math.log10(radio.rangeM / metres);
}

/** Of points that follow each other with one value, the first. */
const withoutRepeats = <V>(points: readonly [number, V][]): [number, V][] =>
  points.filter(([, value], i) => i === 0 || value !== points[i - 1]?.[1]);

/** What is left of a server's speed as its tenants come and go. */
function drawLoad(chance: Random, { servers, durationSeconds }: Mobility): [number, number][] {
  const { tenants, presentSeconds, absentSeconds } = servers;
  const changes: [at: number, by: number][] = [];
  for (let tenant = 0; tenant < tenants; tenant++) {
    let isPresent = chance.uniform() < presentSeconds / (presentSeconds + absentSeconds);
    if (isPresent) changes.push([0, 1]);
    for (let at = 0; at < durationSeconds; ) {
      at += exponential(chance, isPresent ? presentSeconds : absentSeconds);
      isPresent = !isPresent;
      changes.push([at, isPresent ? 1 : -1]);
    }
  }
  const points: [number, number][] = [[0, 1]];
  let count = 0;
  for (const [at, by] of changes.toSorted(([a], [b]) => a - b)) {
    count += by;
    const share = Math.round(1e6 / (1 + count)) / 1e6;
    if (at === 0) points[0] = [0, share];
    else if (at < durationSeconds) points.push([rounded(at), share]);
  }
  return points;
}

/** Crashes of one server, none of them while it is away. */
function drawCrashes(
  chance: Random,
  server: string,
  crashes: MobilitySet["crashes"],
  { durationSeconds }: Mobility,
): object[] {
  if (crashes === undefined) return [];
  const faults: object[] = [];
  let at = exponential(chance, crashes.everySeconds);
  while (at < durationSeconds) {
    const away = between(chance, crashes.forSeconds);
    const power = chance.uniform() < crashes.silent;
    faults.push({ crash: server, at: rounded(at), for: rounded(away), power });
    at += away + exponential(chance, crashes.everySeconds);
  }
  return faults;
}
