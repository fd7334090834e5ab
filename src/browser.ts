/**
 * Edgeloom in browsers: the core, and beside it an engine in a Web Worker, links over the
 * browser's WebSockets, and samples from the person's own files.
 * @module
 */

export {
  type ChosenPicture,
  datasetOfOwn,
  fetchOffer,
  fetchProgress,
  fetchShard,
  forgetOwnData,
  keepOwnData,
  keptOwnData,
  type OwnData,
  type PictureOptions,
  picturesByFolder,
  readPictures,
  readTable,
} from "./browser/data.ts";
export { WebEngine, type WebEngineOptions } from "./browser/engine.ts";
export { type BrowserJoined, type BrowserJoinOptions, join } from "./browser/join.ts";
export type { ChosenFile } from "./browser/platform.ts";
export { openPrivateFiles, type PrivateFiles } from "./browser/store.ts";
export * from "./index.ts";
export type { JoinOffer, JoinProgress } from "./run/wire/offer.ts";
export type { RejoinerEvent } from "./run/worker/rejoiner.ts";
export type { TensorTraffic, WorkerEnd } from "./run/worker/worker-owner.ts";
