/**
 * Edgeloom in virtual time: the same peers, no sockets and no waiting.
 * @module
 */
export { interpreterEngine, nullEngine, zeroEngine } from "./sim/engines.ts";
export type { SimSamples } from "./sim/host.ts";
export { type ReplayOptions, replay } from "./sim/replay.ts";
export {
  type SimCrash,
  type SimNode,
  type SimulationOptions,
  type SimulationResult,
  simulate,
} from "./sim/simulate.ts";
