/**
 * Edgeloom in virtual time: the same peers, no sockets and no waiting.
 * @module
 */

export type { StartModel } from "./run/coordinator/training-state.ts";
export type { SimAttack } from "./sim/attacks.ts";
export { interpreterEngine, nullEngine, zeroEngine } from "./sim/engines.ts";
export {
  faultText,
  type SimCrash,
  type SimCut,
  type SimFault,
  type SimJump,
  type SimNotice,
  type SimPartition,
  type SimPause,
  type SimSlow,
  type SimTwin,
} from "./sim/faults.ts";
export type { SimCell, SimNode, SimTrace, SimWire } from "./sim/fleet.ts";
export { hollowSamples, type SimSamples } from "./sim/host.ts";
export {
  drawMobility,
  type Mobility,
  type MobilityFields,
  type MobilitySet,
  parseMobility,
} from "./sim/mobility.ts";
export { type ReplayOptions, replay } from "./sim/replay.ts";
export {
  parseScenario,
  type Scenario,
  type ScenarioNode,
  type ScenarioSpeed,
  type ScenarioTrace,
} from "./sim/scenario.ts";
export {
  type SimulationOptions,
  type SimulationResult,
  type SimWork,
  simulate,
} from "./sim/simulate.ts";
