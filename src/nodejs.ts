/**
 * Edgeloom in Node.js: files, sockets and the native engine.
 * @module
 */
export {
  loadHeldOut,
  loadHeldOutPath,
  loadShard,
  loadTraining,
  writePartition,
} from "./nodejs/data-files.ts";
export { NativeEngine } from "./nodejs/engine.ts";
export { peakMemoryBytes } from "./nodejs/host.ts";
export { type Joined, type JoinOptions, join } from "./nodejs/join.ts";
export { evaluateModel, profileModel } from "./nodejs/measure.ts";
export { loadModel } from "./nodejs/model-files.ts";
export { createRunFolder, openRun, type RunFolder, runFiles } from "./nodejs/run-folder.ts";
export { defaultPort, type ServeOptions, type Serving, serve } from "./nodejs/serve.ts";
export { startTraining, type Training, type TrainOptions } from "./nodejs/train.ts";
