/**
 * Edgeloom's core: models, compiler, planners and the types that peers share.
 * Runs anywhere; files and sockets are in `edgeloom/nodejs`, virtual time in
 * `edgeloom/sim`.
 * @module
 */
export { type LeakFloor, leakFloor, type ScoredCut } from "./audit/floor.ts";
export type { Audit, CutLeakage, Reconstruction } from "./audit/leakage.ts";
export {
  EdgeloomError,
  InputError,
  type InputProblem,
  ModelError,
  messageOf,
  PlanError,
  ProtocolError,
} from "./base/errors.ts";
export { type ChainId, type CopyId, type NodeId, namePattern, type RunId } from "./base/ids.ts";
export type { Party } from "./base/party.ts";
export { readSafetensors, type Safetensors, writeSafetensors } from "./base/safetensors.ts";
export {
  byteLength,
  type DataOf,
  type DenseTensor,
  type DType,
  formatType,
  type Tensor,
  type TensorData,
  type TensorType,
} from "./base/tensor.ts";
export {
  bytesPerMsOfMbit,
  formatBytes,
  formatCount,
  formatMs,
  formatPercent,
  formatRate,
  formatShare,
  mbitOfBytesPerMs,
} from "./base/units.ts";
export type { CodecName } from "./codec/codec.ts";
export {
  type LinkCodecName,
  type LinkEndOptions,
  type LossyName,
  linkCodecNames,
  linkWireBytes,
  type MemoryKind,
  memoryBytes,
  openReceiver,
  openSender,
  type Passage,
  type Receiver,
  type Sender,
} from "./codec/link-codec.ts";
export { type Remembered, RowMemory, type SavedRows } from "./codec/row-memory.ts";
export type { UpdateCodecName } from "./codec/update.ts";
export type { Parties } from "./compile/columns.ts";
export { segmentCosts } from "./compile/cost.ts";
export type {
  Attribute,
  Attributes,
  Dimension,
  Graph,
  GraphNode,
  Model,
  Parameter,
  Subgraph,
  Value,
  Weights,
} from "./compile/graph.ts";
export {
  type LossName,
  type LossSpec,
  lossNames,
  lossSpec,
} from "./compile/loss.ts";
export { readOnnx } from "./compile/onnx/read.ts";
export { type WriteOptions, writeOnnx } from "./compile/onnx/write.ts";
export {
  type OptimizerName,
  type OptimizerSpec,
  optimizerNames,
  optimizerSpec,
} from "./compile/optimizer.ts";
export {
  type Port,
  type PortRole,
  type Program,
  type ProgramKind,
  type StagePrograms,
  stagePrograms,
  type TrainingSpec,
} from "./compile/program.ts";
export {
  type Crossing,
  type CutOptions,
  type NamedType,
  type Segment,
  type SegmentCost,
  segmentModel,
  type TakenInput,
} from "./compile/segment.ts";
export { type Bindings, specialize } from "./compile/specialize.ts";
export { trainingForm } from "./compile/training-form.ts";
export { type TrainingModel, type TrainingShape, trainingModel } from "./compile/training-model.ts";
export { type ArrayOptions, arrayDataset } from "./data/arrays.ts";
export { type CsvOptions, csvDataset } from "./data/csv.ts";
export { type Batch, type Dataset, type Labels, subset } from "./data/dataset.ts";
export { type PartyShare, partySource } from "./data/party.ts";
export {
  type HistoryOptions,
  historyDataset,
  pairDataset,
  type Rating,
  type RatingParts,
  type RatingSplit,
  splitRatings,
} from "./data/ratings.ts";
export { type BatchKey, type SampleShare, SampleSource } from "./data/source.ts";
export { type LabelledText, type TextOptions, textDataset } from "./data/text.ts";
export {
  type BuiltInModelName,
  builtInLoss,
  builtInModelNames,
  builtInOptions,
  checkModelOptions,
  isBuiltIn,
  type ModelChoice,
} from "./models/catalog.ts";
export { type AdversarialModels, dcgan } from "./models/generative.ts";
export { Sequential } from "./models/layers.ts";
export { builtInModel } from "./models/models.ts";
export { type BatchNormOptions, type ConvOptions, Network, type Sizes } from "./models/network.ts";
export type { ModelChoices, ModelOptions } from "./models/options.ts";
export { codingSpeed, decodeMs, encodeMs } from "./plan/coding.ts";
export type { ExchangeEdge, ExchangePlan } from "./plan/exchange.ts";
export type { StreamChoice } from "./plan/exchange-stream.ts";
export type { TopologyName } from "./plan/exchange-topology.ts";
export { type LineTimes, linePeriodMs } from "./plan/line.ts";
export { type TrainingStage, trainingBytes } from "./plan/memory.ts";
export type {
  ChainPlan,
  CopyPlan,
  EnergyLimit,
  ExchangeChoice,
  FeatureReplayChoice,
  Fleet,
  FleetLink,
  FleetNode,
  Forecast,
  GroupPlan,
  LimitPlan,
  LinkPlan,
  PipelineChoice,
  Plan,
  Planner,
  PlanRequest,
  Profile,
  ScheduleKind,
  SegmentTime,
  SplitChoice,
  StagePlan,
} from "./plan/plan.ts";
export { forecasters, type PlannerName, planners } from "./plan/planners.ts";
export { computeMs, scaledProfile, type TimedProgram } from "./plan/program-time.ts";
export {
  bubbleMs,
  type Forecasted,
  type Forecaster,
  type HeldSegments,
  movingMs,
} from "./plan/replan.ts";
export { type Sharing, splitBoundMs } from "./plan/split-bound.ts";
export { explainSplit, type SplitAnswer } from "./plan/split-explain.ts";
export { splitForecast } from "./plan/split-judge.ts";
export type { CoordinatorEnd } from "./run/coordinator/farewell.ts";
export type { Engine, EngineAnswer, EngineRun, Slot } from "./run/host.ts";
export { type DataSpec, type DeviceSpec, type Job, parseJob } from "./run/job.ts";
export type { DeviceFields, FleetFields, JobFields } from "./run/job-fields.ts";
export { roundsCsv } from "./run/metrics/csv.ts";
export { type EventKind, eventsOf, type RunEvent } from "./run/metrics/events.ts";
export {
  activityKeptMs,
  type EvaluationPoint,
  type PlanPoint,
  type RoundPoint,
  RunHistory,
  type TimedEvent,
  type TimedSpan,
} from "./run/metrics/history.ts";
export type { RunListing } from "./run/metrics/listing.ts";
export { type PlacedStage, type PlanRow, planRows } from "./run/metrics/plan-rows.ts";
export { RecordReader } from "./run/metrics/read.ts";
export {
  type Activity,
  type AloneRound,
  batchesTrained,
  type Environment,
  type Evaluated,
  type FoldedPart,
  type HeldMs,
  type Joined,
  type LinksMeasured,
  type NodeJoined,
  type NodeLeft,
  type NodeProfiled,
  type NodeRound,
  type PacedTraffic,
  type Participant,
  type Planned,
  type Resumed,
  type RoundCommitted,
  type RunEnded,
  type RunRecord,
  type RunStarted,
  type Span,
  type SpanKind,
  type StraightSent,
  spanKinds,
  type TimedRecord,
  type Took,
  type Transfer,
  type Turns,
  type Waiting,
  type WayProbed,
} from "./run/metrics/record.ts";
export {
  measuredWords,
  type NodeSummary,
  RunFold,
  type RunSummary,
} from "./run/metrics/summary.ts";
export { waitingMs } from "./run/metrics/waiting.ts";
export {
  Observer,
  type ObserverOwner,
  type ObserverState,
  type ObserverWorld,
  type TextLink,
} from "./run/observe/observer.ts";
export type { Schedule, ScheduleName } from "./run/schedule.ts";
export type { OuterStep } from "./sync/joining.ts";
export type { JoinPolicy, SyncPolicyName } from "./sync/policies.ts";
export type { Selection } from "./sync/selection.ts";
export type { StreamRules } from "./sync/streaming.ts";
export type { TransferRules } from "./sync/transfer.ts";
