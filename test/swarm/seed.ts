/**
 * One seed: its run in virtual time under its faults, with every checker looking on, then the
 * replay. In the faulty phase nothing may break; once everything is healed the run must come to
 * an end, and what was saved must be what one process computes from the committed log.
 */
import { present } from "../../src/base/assert.ts";
import type { Tensor } from "../../src/base/tensor.ts";
import type { Decision } from "../../src/run/coordinator/journal.ts";
import type { Engine } from "../../src/run/host.ts";
import { faultText } from "../../src/sim/faults.ts";
import type { Disk } from "../../src/sim/machine.ts";
import { replay } from "../../src/sim/replay.ts";
import { coordinatorName, Simulation } from "../../src/sim/simulate.ts";
import { Broken, CapacityChecker, LogChecker, type States, StoreChecker } from "./checkers.ts";
import { type Drawn, draw } from "./draw.ts";
import { type MostHeld, WireChecker } from "./wires.ts";

/** What a seed came to. */
export interface SeedResult {
  readonly seed: number;
  readonly end: string;
  readonly rounds: number;
  /** Times that a coordinator went on where another one was. */
  readonly resumed: number;
  /** Rounds that were done again because their checkpoint was torn. */
  readonly takenBack: number;
  readonly virtualMs: number;
  readonly mostHeld: MostHeld;
  readonly events: number;
  readonly faults: readonly string[];
}

/** Time after healing in which the run must end: slow links of large features take ten minutes and more. */
const livenessMs = 900_000;
/** Time after healing for which nodes are awaited, and try to come back. */
const patienceMs = 120_000;

/** @throws Broken, or whatever a peer throws, where something is wrong */
export async function runSeed(seed: number, engine: () => Engine): Promise<SeedResult> {
  const drawn = draw(seed);
  const simulation = new Simulation({ ...drawn, engine, patienceMs: drawn.healedMs + patienceMs });
  const coordinator = present(simulation.machines.get(coordinatorName), coordinatorName);
  const log = new LogChecker(() => coordinator.disk.journal);
  const store = new StoreChecker(() => coordinator.disk.files, log);
  watchCapacity(simulation);
  const wires = new WireChecker();
  simulation.network.tap = (ends) => wires.watch(ends);
  let events = 0;
  await simulation.run(() => {
    events++;
    log.check();
    store.check();
    const lateMs = simulation.world.now() - drawn.healedMs;
    if (lateMs <= livenessMs) return false;
    if (simulation.isForsaken) return true;
    throw new Broken(`not at an end ${lateMs.toFixed(0)} ms after all was healed`);
  });
  if (!simulation.isOver && !simulation.isForsaken) {
    throw new Broken("nothing more happens, and the run has not ended");
  }
  const { end, virtualMs } = simulation.result();
  if (end !== null && end.reason !== "finished") throw new Broken(`${end.reason}: ${end.text}`);
  // A disk may be lost after the end, too.
  const isThere = coordinator.disk.journal.entries.length > 0;
  const { rounds, localBatches } = drawn.job;
  const misjudged = end !== null && isThere ? log.misjudged(rounds * localBatches) : null;
  if (misjudged !== null) throw new Broken(misjudged);
  if (end !== null) requireTidy(coordinator.disk);
  await judge(drawn, log, store, engine);
  return {
    seed,
    end: end === null ? "forsaken: a device will not come back" : `${end.reason}: ${end.text}`,
    rounds: log.rounds,
    takenBack: log.timesTakenBack,
    resumed: log.decisions.filter(({ type }) => type === "resumed").length,
    virtualMs,
    mostHeld: wires.most,
    events,
    faults: drawn.faults.map(faultText),
  };
}

/** Has the capacity of every wire watched, as its rate changes. */
function watchCapacity({ network, world }: Simulation): void {
  const checker = new CapacityChecker();
  network.onCarried = (carried) => checker.carried(carried);
  network.onRate = (pipe, before) => checker.rateChanged(pipe, world.now(), before);
}

/** After the end, nothing half-written is left of those that died in the middle. */
function requireTidy({ files, journal }: Disk): void {
  const left = [...files.keys(), ...journal.kept.keys()].filter((name) => name.endsWith(".part"));
  if (left.length > 0) throw new Broken(`${left.join(", ")} was left behind`);
}

/** Replays the log, with what was taken back of it, and holds the store to it. */
async function judge(
  drawn: Drawn,
  { histories }: LogChecker,
  store: StoreChecker,
  engine: () => Engine,
): Promise<void> {
  const states: States[] = [];
  for (const decisions of histories) states.push(await statesOf(drawn, decisions, engine()));
  const newest = states.at(-1)?.size ?? 0;
  if (store.judge(states) === 0 && newest > 1) throw new Broken("nothing was ever saved");
}

/** The state after each round of a log, as one process computes it. */
async function statesOf(
  { job, model, nodes }: Drawn,
  records: readonly Decision[],
  engine: Engine,
): Promise<States> {
  const states = new Map<number, ReadonlyMap<string, Tensor>>();
  await replay({
    job,
    model,
    records,
    samplesOf: (node) => {
      const { train } = present(
        nodes.find(({ name }) => name === node),
        node,
      );
      if (train === null || !("batch" in train)) throw new Broken(`${node} has no samples`);
      return train;
    },
    engine,
    onCommitted: (rounds, trained) => states.set(rounds, new Map(trained)),
  });
  await engine.close();
  return states;
}
