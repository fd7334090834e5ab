/**
 * Data sets from files: those that come in packages, folders with idx files,
 * CSV files, folders of images or texts by class. Reads bytes and hands them to
 * the decoders of `data/`, which know no files.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { basename, extname, join, resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import jpeg from "jpeg-js";
import { PNG } from "pngjs";
import { present } from "../base/assert.ts";
import { InputError, messageOf } from "../base/errors.ts";
import { elementCount, sameShape } from "../base/tensor.ts";
import { csvDataset } from "../data/csv.ts";
import type { Dataset } from "../data/dataset.ts";
import { idxDataset, writeIdxImages, writeIdxLabels } from "../data/idx.ts";
import { imageDataset, type Picture, type PictureFile } from "../data/images.ts";
import { dirichletPartition } from "../data/partition.ts";
import { partySource } from "../data/party.ts";
import { historyDataset, pairDataset, splitRatings } from "../data/ratings.ts";
import { SampleSource } from "../data/source.ts";
import { distinctTexts, type LabelledText, textDataset } from "../data/text.ts";
import type { DataSpec, Job } from "../run/job.ts";
import {
  idxSetFolder,
  isIdxSet,
  isTextSet,
  loadMovieLens,
  loadTextSet,
  type TextSet,
} from "./data-packages.ts";

/** How a path is read where no job says it. */
export interface PathOptions {
  /** Label column of a CSV; null for one without labels. */
  readonly label?: string | null;
  /** Key column of a CSV. */
  readonly key?: string;
  /** Class names in the order of their numbers, where labels are names. */
  readonly classNames?: readonly string[];
}

/** A device's private samples. @throws InputError naming the path and what is wrong with it */
export const loadShard = (path: string, options: PathOptions = {}): SampleSource =>
  new SampleSource(loadPath(path, "train", options));

/** Held-out samples at a path. @throws InputError */
export const loadHeldOutPath = (path: string, options: PathOptions = {}): SampleSource =>
  new SampleSource(loadPath(path, "test", options));

/** Training samples of a job; paths are relative to `folder`. @throws InputError */
export const loadTraining = (data: DataSpec, folder: string): SampleSource =>
  new SampleSource(present(loadPart(data, "train", folder), "training data"));

/** Held-out samples of a job; null where it names none. @throws InputError */
export function loadHeldOut(data: DataSpec, folder: string): SampleSource | null {
  const dataset = loadPart(data, "test", folder);
  return dataset === null ? null : new SampleSource(dataset);
}

/**
 * Training samples of a party of a job: of the data that the job names, its own columns, with the labels where it is the first party.
 * @throws InputError where the job's parties have other columns, or its data no keys
 */
export function loadParty(
  { data, parties }: Pick<Job, "data" | "parties">,
  columns: readonly number[],
  folder: string,
): SampleSource {
  const place = parties?.findIndex((own) => sameShape(own, columns)) ?? -1;
  if (place < 0) {
    throw new InputError({
      what: "columns of a party",
      received: `[${columns}]`,
      allowed: `those of a party of the job: ${parties?.map((own) => `[${own}]`).join(" or ") ?? "it has none"}`,
    });
  }
  const dataset = present(loadPart(data, "train", folder), "training data");
  return partySource(dataset, { columns, hasLabels: place === 0 });
}

/**
 * Training samples of a party from a CSV file of its own, which has no other columns than its own, a key for each row, and
 * labels where a column is named for them.
 * @param columns of the model's input that those of the file are, in their order
 * @throws InputError naming the path and what is wrong with it
 */
export function loadPartyFile(
  path: string,
  columns: readonly number[],
  { label = null, ...options }: PathOptions,
): SampleSource {
  const dataset = loadCsv(path, { ...options, label });
  const places = columns.map((_, place) => place);
  if (dataset.inputShape[0] !== columns.length) {
    throw problem(path, `${dataset.inputShape[0]} columns of features for columns [${columns}]`);
  }
  return partySource(dataset, { columns, places, hasLabels: label !== null });
}

type Part = "train" | "test";

const idxPrefix = { train: "train", test: "t10k" } as const;

function loadPart(data: DataSpec, part: Part, folder: string): Dataset | null {
  if (typeof data === "string") return loadIdx(idxSetFolder(data), part);
  if ("idx" in data) {
    const path = resolve(folder, data.idx);
    return part === "test" && !hasIdx(path, "test") ? null : loadIdx(path, part);
  }
  if ("csv" in data) {
    const { label, key } = data;
    const options = {
      ...(label === undefined ? {} : { label }),
      ...(key === undefined ? {} : { key }),
    };
    const train = loadCsv(resolve(folder, data.csv), options);
    if (part === "train") return train;
    if (data.test === undefined) return null;
    const { classNames } = train;
    return loadCsv(resolve(folder, data.test), {
      ...options,
      ...(classNames === undefined ? {} : { classNames }),
    });
  }
  if ("text" in data) {
    const set = isTextSet(data.text)
      ? loadTextSet(data.text, folder)
      : readTexts(resolve(folder, data.text));
    const texts = set[part];
    return part === "test" && texts.length === 0 ? null : textDataset(texts, set.classNames, data);
  }
  if ("ratings" in data) {
    const { ratings, stepsMax } = loadMovieLens(folder);
    const parts = splitRatings(ratings, data.split);
    if (data.history === 0) return pairDataset(parts[part], stepsMax);
    return historyDataset(parts[part], { stepsMax, length: data.history, known: parts.train });
  }
  const path = resolve(folder, data.images);
  const split = existsSync(join(path, "train"));
  if (part === "test" && !existsSync(join(path, "test"))) return null;
  const { size, channels } = data;
  return loadImages(split ? join(path, part) : path, {
    ...(size === undefined ? {} : { size }),
    ...(channels === undefined ? {} : { channels }),
  });
}

/** Tells what a path holds and reads it. */
function loadPath(path: string, part: Part, options: PathOptions): Dataset {
  if (isIdxSet(path)) return loadIdx(idxSetFolder(path), part);
  const kind = statSync(path, { throwIfNoEntry: false });
  if (kind === undefined) throw problem(path, "nothing there");
  if (kind.isFile()) {
    if (extname(path) === ".csv") return loadCsv(path, options);
    throw problem(path, `a file of type "${extname(path)}"`);
  }
  const other = part === "train" ? "test" : "train";
  if (hasIdx(path, part)) return loadIdx(path, part);
  if (hasIdx(path, other)) return loadIdx(path, other);
  const { classNames } = options;
  return loadImages(path, classNames === undefined ? {} : { classNames });
}

function problem(path: string, received: string, cause?: unknown): InputError {
  return new InputError(
    {
      what: "data",
      received,
      allowed:
        "mnist, fashion-mnist, a folder with idx files (train-images-idx3-ubyte, train-labels-idx1-ubyte; " +
        "t10k-* for held-out data; .gz too), a folder of PNG or JPEG images (or of texts, where the job says text) by class, or a .csv file",
      where: path,
    },
    { cause },
  );
}

/** Largest file that a .gz may unpack to. */
const unpackedBytesMax = 2 ** 31 - 1;

function readFile(path: string): Uint8Array {
  try {
    const bytes = readFileSync(path);
    return new Uint8Array(
      path.endsWith(".gz") ? gunzipSync(bytes, { maxOutputLength: unpackedBytesMax }) : bytes,
    );
  } catch (error) {
    throw problem(path, messageOf(error), error);
  }
}

// -- idx

function idxPath(folder: string, part: Part, what: "images-idx3" | "labels-idx1"): string | null {
  const plain = join(folder, `${idxPrefix[part]}-${what}-ubyte`);
  return [plain, `${plain}.gz`].find((path) => existsSync(path)) ?? null;
}

const hasIdx = (folder: string, part: Part): boolean =>
  idxPath(folder, part, "images-idx3") !== null;

interface IdxFiles {
  readonly images: Uint8Array;
  readonly labels: Uint8Array;
  readonly where: { readonly images: string; readonly labels: string };
}

function readIdxFiles(folder: string, part: Part): IdxFiles {
  const images = idxPath(folder, part, "images-idx3");
  const labels = idxPath(folder, part, "labels-idx1");
  if (images === null || labels === null) {
    const missing = images === null ? "images-idx3" : "labels-idx1";
    throw problem(folder, `no ${idxPrefix[part]}-${missing}-ubyte there`);
  }
  return { images: readFile(images), labels: readFile(labels), where: { images, labels } };
}

/** Shards may lack a class, so digits are always ten. */
const idxClasses = 10;

function loadIdx(folder: string, part: Part): Dataset {
  const { images, labels, where } = readIdxFiles(folder, part);
  return idxDataset(images, labels, { classes: idxClasses, where });
}

// -- CSV and images

function loadCsv(path: string, options: PathOptions): Dataset {
  return csvDataset(readFile(path), { ...options, where: path });
}

const pictureTypes = [".png", ".jpg", ".jpeg"];

function loadImages(
  folder: string,
  options: {
    readonly size?: readonly [number, number];
    readonly channels?: 1 | 3;
    readonly classNames?: readonly string[];
  },
): Dataset {
  const files = filesByClass(folder, pictureTypes).map(
    ({ path: name, className }): PictureFile => ({ name, className, bytes: readFile(name) }),
  );
  if (files.length === 0) throw problem(folder, "no images in folders named by class");
  return imageDataset(files, { ...options, decode: decodePicture });
}

/** Files of these types in a folder's folders, which are named by class. */
function filesByClass(
  folder: string,
  types: readonly string[],
): { readonly path: string; readonly className: string }[] {
  return readFolder(folder)
    .filter((className) => statSync(join(folder, className)).isDirectory())
    .flatMap((className) =>
      readFolder(join(folder, className))
        .filter((file) => types.includes(extname(file).toLowerCase()))
        .map((file) => ({ path: join(folder, className, file), className })),
    );
}

/** Texts in folders named by class, below `train` and `test` where there are such. */
function readTexts(folder: string): TextSet {
  const split = existsSync(join(folder, "train"));
  const parts = [split ? join(folder, "train") : folder, join(folder, "test")];
  const [train = [], test = []] = parts.map((path, i) =>
    i === 1 && !existsSync(path) ? [] : filesByClass(path, [".txt"]),
  );
  if (train.length === 0) throw problem(folder, "no .txt files in folders named by class");
  const classNames = [...new Set(train.map(({ className }) => className))].sort();
  const labelled = (files: typeof train): LabelledText[] =>
    files.map(({ path, className }) => {
      const label = classNames.indexOf(className);
      if (label < 0) throw problem(path, `the class ${className}, which no training text has`);
      return { text: new TextDecoder().decode(readFile(path)), label };
    });
  const distinct = distinctTexts(labelled(train));
  return { classNames, train: distinct, test: distinctTexts(labelled(test), distinct) };
}

function readFolder(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch (error) {
    throw problem(folder, messageOf(error), error);
  }
}

function decodePicture(bytes: Uint8Array, name: string): Picture {
  const isPng = extname(name).toLowerCase() === ".png";
  const { width, height, data } = isPng
    ? PNG.sync.read(Buffer.from(bytes))
    : jpeg.decode(bytes, { useTArray: true, formatAsRGBA: true });
  return { width, height, channels: 4, data: new Uint8Array(data) };
}

// -- shards

/** How to split samples among devices. */
export interface PartitionOptions {
  /** Number of shards. */
  readonly parts: number;
  /** Folder for the shards `part-1`, `part-2`, ... */
  readonly out: string;
  /** Concentration: small is unequal, large is equal. */
  readonly alpha: number;
  readonly seed: number;
}

/** One part, as it was written. */
export interface Shard {
  readonly folder: string;
  readonly samples: number;
  /** Samples of each class. */
  readonly perClass: readonly number[];
}

/** Parts of idx data, as files in memory. */
export interface IdxShards {
  readonly parts: number;
  readonly classes: number;
  /** Name of an idx file as data sets have it: "train-images-idx3-ubyte". */
  name(file: "images" | "labels"): string;
  /** The file of one part. */
  file(part: number, file: "images" | "labels"): Uint8Array;
  samples(part: number): number;
  /** Bytes of both files of a part. */
  bytes(part: number): number;
  /** Samples of each class. */
  perClass(part: number): readonly number[];
}

/**
 * Splits idx data by a seeded Dirichlet distribution. The partition is drawn here, once: devices
 * are given files, they never draw it again. @throws InputError
 */
export function idxShards(data: string, options: Omit<PartitionOptions, "out">): IdxShards {
  const source = isIdxSet(data) ? idxSetFolder(data) : data;
  const { images, labels, where } = readIdxFiles(source, "train");
  const dataset = idxDataset(images, labels, { classes: idxClasses, where });
  const parts = dirichletPartition(dataset.labels, options);
  const indicesOf = (part: number): Int32Array => present(parts[part], `part ${part}`);
  const sampleBytes = 1 + elementCount(dataset.inputShape);
  return {
    parts: parts.length,
    classes: idxClasses,
    name: (file) => basename(where[file], ".gz"),
    file: (part, file) =>
      file === "images"
        ? writeIdxImages(images, indicesOf(part))
        : writeIdxLabels(labels, indicesOf(part)),
    samples: (part) => indicesOf(part).length,
    bytes: (part) => indicesOf(part).length * sampleBytes,
    perClass(part) {
      const perClass = Array<number>(idxClasses).fill(0);
      for (const index of indicesOf(part)) {
        const label = dataset.labels[index] ?? 0;
        perClass[label] = (perClass[label] ?? 0) + 1;
      }
      return perClass;
    },
  };
}

/** Splits idx data like `idxShards` and writes one folder of idx files per part. @throws InputError */
export function partition(data: string, options: PartitionOptions): Shard[] {
  const shards = idxShards(data, options);
  return Array.from({ length: shards.parts }, (_, part) => {
    const folder = join(options.out, `part-${part + 1}`);
    try {
      mkdirSync(folder, { recursive: true });
      for (const file of ["images", "labels"] as const) {
        writeFileSync(join(folder, shards.name(file)), shards.file(part, file));
      }
    } catch (error) {
      throw new InputError({
        what: "--out",
        received: `${folder} (${messageOf(error)})`,
        allowed: "a folder that can be written",
      });
    }
    return { folder, samples: shards.samples(part), perClass: shards.perClass(part) };
  });
}
