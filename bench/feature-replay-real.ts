/**
 * `npm run bench -- feature-replay --real`: one device and one server on real processes of this machine, with shares of a core and a
 * shaped link between them. The same updates are made as the engine plans them, and by serial split learning with its best
 * cut or on the device alone, whatever takes less; and both again in virtual time.
 */
import { loadavg } from "node:os";
import path from "node:path";
import { type Profile, type TimedRecord, version } from "edgeloom";
import { atLeast, atMost, type BenchResult, type Row } from "./bench.ts";
import { wayOf, wayText } from "./feature-replay-run.ts";
import { endlessJob, onBothSides } from "./real-compare.ts";
import { roundsUnder, type Scene, sceneIn } from "./real-scene.ts";

const ownScenario = path.join(import.meta.dirname, "feature-replay-real.yaml");

/** Rounds that are compared: those under the last plan but for its first, which waits for weights. */
const roundsCompared = 3;
/** A scheme is given up after so long. */
const msMax = 150_000;

/** Without codecs and window the engine chooses the cut alone: the best one of serial split learning. */
const serially = {
  pipeline: { window: 0 },
  featureReplay: { up: ["float32"], down: ["float32"] },
};

const schemes = [
  { name: "serial split or the device alone", fields: serially },
  { name: "feature-replay", fields: {} },
];

/** A scheme on both sides. */
interface Compared {
  readonly name: string;
  readonly way: string;
  readonly realMs: number;
  readonly simulatedMs: number;
  readonly lateShare: number;
}

/**
 * Plays a scenario.
 * @param file null for the one that belongs to the benchmark
 * @throws InputError for one that this machine has too few cores for, or none to play
 */
export async function realFeatureReplay(file: string | null): Promise<BenchResult> {
  const scene = sceneIn(file ?? ownScenario);
  const { jobFields, core } = await endlessJob(scene, { planner: "feature-replay" });
  const compared: Compared[] = [];
  for (const { name, fields } of schemes) {
    compared.push(await compare(name, scene, { ...jobFields, ...fields }, core));
  }
  const [serial, chosen] = compared as [Compared, Compared];
  return {
    rows: compared.map(rowOf),
    goals: [
      atLeast(
        "over the best serial split or the device alone, on real processes",
        serial.realMs / chosen.realMs,
        2,
      ),
      atMost(
        "difference of the simulated and the real time of the same updates, worst",
        compared.map(({ simulatedMs, realMs }) => Math.abs(simulatedMs / realMs - 1)),
        0.1,
        "of the real one",
      ),
    ],
    versions: { edgeloom: version },
    seed: 1,
    notes: [
      ...compared.map(({ name, way }) => `${name}: ${way}`),
      "too late: runs of programs for which this machine was too busy to keep a node's share of a core",
      `other programs and this one kept ${loadavg()[0]?.toFixed(1)} threads busy in the last minute`,
    ],
  };
}

async function compare(
  name: string,
  scene: Scene,
  jobFields: object,
  core: Profile,
): Promise<Compared> {
  const { plan, real, simulated } = await onBothSides({
    ...{ command: "npm run bench -- feature-replay --real", name },
    ...{ scene, jobFields, core },
    until: (nowMs, records) => roundsUnder(records).length >= roundsCompared || nowMs > msMax,
  });
  const way = wayText(wayOf(plan), Math.max(...plan.copies.map(({ to }) => to)));
  return {
    ...{ name, way, lateShare: real.lateShare },
    realMs: updatesMs(real.records),
    simulatedMs: updatesMs(simulated.records),
  };
}

/** Time of the rounds that are compared, by which as many updates have been made under every plan. */
function updatesMs(records: readonly TimedRecord[]): number {
  const rounds = roundsUnder(records).slice(0, roundsCompared);
  if (rounds.length < roundsCompared) return Number.NaN;
  return rounds.reduce((sum, [fromMs, toMs]) => sum + toMs - fromMs, 0);
}

const rowOf = ({ name, realMs, simulatedMs, lateShare }: Compared): Row => ({
  scheme: name,
  "real, s": realMs / 1000,
  "simulated, s": simulatedMs / 1000,
  "real / simulated": realMs / simulatedMs,
  "too late, %": 100 * lateShare,
});
