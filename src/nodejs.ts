/**
 * Edgeloom in Node.js: the core, and beside it files, sockets and the native engine.
 * @module
 */
export * from "./index.ts";
export {
  administerTokens,
  type TokenChange,
  type TokenListing,
} from "./nodejs/administration.ts";
export { type OpenedRun, RunArchive } from "./nodejs/archive.ts";
export { type AuditOptions, audit } from "./nodejs/audit.ts";
export { type CheckOptions, type CheckResult, check, type ParameterCheck } from "./nodejs/check.ts";
export {
  loadHeldOut,
  loadHeldOutPath,
  loadParty,
  loadPartyFile,
  loadShard,
  loadTraining,
  type PartitionOptions,
  type PathOptions,
  partition,
  type Shard,
} from "./nodejs/data-files.ts";
export {
  loadMovieLens,
  loadTextSet,
  type RatingSet,
  type TextSet,
  type TextSetName,
} from "./nodejs/data-packages.ts";
export { defaultPort } from "./nodejs/default-port.ts";
export { NativeEngine, type NativeEngineOptions } from "./nodejs/engine.ts";
export { version } from "./nodejs/environment.ts";
export { peakMemoryBytes } from "./nodejs/host.ts";
export { type Joined, type JoinOptions, join } from "./nodejs/join.ts";
export type { RunJournal } from "./nodejs/journal.ts";
export type { AnnounceState } from "./nodejs/lan/announce.ts";
export type { ServerInReach } from "./nodejs/lan/cache.ts";
export { type Discovered, type DiscoverOptions, discover } from "./nodejs/lan/discover.ts";
export { type FindOptions, findServer } from "./nodejs/lan/find.ts";
export { type Accuracy, type EvaluateOptions, evaluate, profileModel } from "./nodejs/measure.ts";
export { loadModel, type NamedModel } from "./nodejs/model-files.ts";
export { type PageOptions, type PageServing, servePage } from "./nodejs/page.ts";
export { type PlanOptions, type PlanResult, plan } from "./nodejs/plan.ts";
export type { ReachOptions } from "./nodejs/reach.ts";
export type { RecordListener } from "./nodejs/recording.ts";
export {
  createRunFolder,
  type EarlierRun,
  existingRunFiles,
  isResumable,
  openRun,
  type RunFolder,
  reopenRunFolder,
  runFiles,
  runFolderAt,
} from "./nodejs/run-folder.ts";
export type { RunLog } from "./nodejs/run-log.ts";
export {
  type MeasuringOptions,
  type ReadyScenario,
  readyScenario,
  runScenario,
  type ScenarioResult,
} from "./nodejs/scenario.ts";
export { type ServeOptions, type Serving, serve } from "./nodejs/serve.ts";
export { type ShapedFleet, ShapedNetwork } from "./nodejs/shaped-network.ts";
export { findThroughPeers, type ThroughPeersOptions } from "./nodejs/through-peer.ts";
export { type IssuedToken, type TokenRole, tokenRoles } from "./nodejs/tokens.ts";
export { type TrainOptions, type TrainResult, train } from "./nodejs/train.ts";
export { watch } from "./nodejs/watch.ts";
export { withWeights } from "./nodejs/weights-file.ts";
export type { RejoinerEvent } from "./run/worker/rejoiner.ts";
export type { WorkerEnd, WorkerEvent } from "./run/worker/worker-owner.ts";
