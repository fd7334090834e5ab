/**
 * Edgeloom's core: models, compiler, planners and the types that peers share.
 * Runs anywhere; files and sockets are in `edgeloom/nodejs`, virtual time in
 * `edgeloom/sim`.
 * @module
 */
export {
  EdgeloomError,
  InputError,
  ModelError,
  messageOf,
  PlanError,
  ProtocolError,
} from "./base/errors.ts";
export { readSafetensors, writeSafetensors } from "./base/safetensors.ts";
export {
  byteLength,
  type DenseTensor,
  formatType,
  type Tensor,
  type TensorType,
} from "./base/tensor.ts";
export {
  bytesPerMsOfMbit,
  formatBytes,
  formatCount,
  formatMs,
  formatRate,
  mbitOfBytesPerMs,
} from "./base/units.ts";
export { segmentCosts } from "./compile/cost.ts";
export type { Graph, Model, Weights } from "./compile/graph.ts";
export { readOnnx } from "./compile/onnx/read.ts";
export { writeOnnx } from "./compile/onnx/write.ts";
export { type Segment, type SegmentCost, segmentModel } from "./compile/segment.ts";
export { specialize } from "./compile/specialize.ts";
export { builtInModel, builtInModelNames } from "./models/models.ts";
export type { Fleet, FleetNode, Plan, Planner, PlanRequest, Profile } from "./plan/plan.ts";
export { planners } from "./plan/planners.ts";
export { type Job, parseJob } from "./run/job.ts";
export type { RunRecord } from "./run/metrics/record.ts";
export { RunFold, type RunSummary } from "./run/metrics/summary.ts";
