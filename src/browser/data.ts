/**
 * A device's own samples, from files that the person chose: pictures in folders
 * named by class, or a table. The browser decodes; nothing is uploaded. What is
 * read can be kept in this site's private files, so that a page that is loaded
 * again goes on without asking.
 */
import { InputError, messageOf, ProtocolError } from "../base/errors.ts";
import { csvDataset } from "../data/csv.ts";
import type { Dataset } from "../data/dataset.ts";
import { idxDataset } from "../data/idx.ts";
import {
  type Picture,
  pictureSample,
  type SampledPictures,
  type SampleShape,
  sampledPictures,
} from "../data/images.ts";
import { type Bitmap, type ChosenFile, platform } from "./platform.ts";
import type { PrivateFiles } from "./store.ts";

/** Samples as they are kept: bytes and what is needed to read them. */
export type OwnData =
  | ({ readonly kind: "pictures" } & SampledPictures)
  | {
      readonly kind: "table";
      readonly name: string;
      readonly bytes: Uint8Array;
      /** Label column, and classes in the order of their numbers; null where the table tells. */
      readonly label: string | null;
      readonly classNames: readonly string[] | null;
    }
  | {
      readonly kind: "digits";
      /** The two idx files. */
      readonly images: Uint8Array;
      readonly labels: Uint8Array;
      readonly classes: number;
    };

/** What samples must be like to fit the run. */
export interface PictureOptions {
  readonly shape: SampleShape;
  /** Classes in the order of their numbers; null takes the folders' names, sorted. */
  readonly classNames: readonly string[] | null;
  /** Told how many pictures are done, of how many. */
  onProgress?(done: number, of: number): void;
}

const isPicture = (name: string): boolean => /\.(png|jpe?g|webp|gif|bmp|avif|heic)$/i.test(name);

/** Of larger pictures a smaller copy is sampled: phones refuse canvases beyond 16 million pixels. */
const pixelsMax = 4_000_000;

/**
 * Reads pictures sorted into folders by class. One picture at a time is held in full.
 * @throws InputError naming the file that is no picture, or saying that there is none
 */
export async function readPictures(
  files: readonly ChosenFile[],
  { shape, classNames: given, onProgress }: PictureOptions,
): Promise<OwnData> {
  const chosen = files
    .map((file) => ({ file, path: file.webkitRelativePath || file.name }))
    .filter(({ path }) => isPicture(path) && path.split("/").length > 1)
    .sort((a, b) => (a.path < b.path ? -1 : 1));
  if (chosen.length === 0) {
    throw new InputError({
      what: "folder",
      received: `${files.length} files, none of them a picture in a folder of its class`,
      allowed: "a folder that holds one folder of pictures for each class",
    });
  }
  const classOf = (path: string): string => path.split("/").at(-2) ?? "";
  const classNames = given ?? [...new Set(chosen.map(({ path }) => classOf(path)))].sort();
  const sampleSize = shape[0] * shape[1] * shape[2];
  const pixels = new Uint8Array(chosen.length * sampleSize);
  const labels = new Int32Array(chosen.length);
  for (const [index, { file, path }] of chosen.entries()) {
    labels[index] = classNames.indexOf(classOf(path));
    if ((labels[index] as number) < 0) {
      const allowed = `a folder for each of ${classNames.join(", ")}`;
      throw new InputError({ what: "class", received: classOf(path), allowed, where: path });
    }
    pixels.set(pictureSample(await decodePicture(file, path), shape), index * sampleSize);
    onProgress?.(index + 1, chosen.length);
  }
  return { kind: "pictures", shape, classNames, labels, pixels };
}

async function decodePicture(file: ChosenFile, where: string): Promise<Picture> {
  let bitmap: Bitmap;
  try {
    bitmap = await platform.createImageBitmap(file);
  } catch (error) {
    const allowed = "a picture that this browser can show";
    throw new InputError({ what: "picture", received: messageOf(error), allowed, where });
  }
  const shrink = Math.min(1, Math.sqrt(pixelsMax / (bitmap.width * bitmap.height)));
  const width = Math.max(1, Math.floor(bitmap.width * shrink));
  const height = Math.max(1, Math.floor(bitmap.height * shrink));
  const context = new platform.OffscreenCanvas(width, height).getContext("2d", {
    willReadFrequently: true,
  });
  if (context === null) throw new InputError({ what: "canvas", received: "none", allowed: "one" });
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  return { width, height, channels: 4, data: new Uint8Array(data.buffer) };
}

/** Reads a table of numbers with a column of labels. @throws InputError naming line and column */
export async function readTable(
  file: ChosenFile,
  options: { readonly label: string | null; readonly classNames: readonly string[] | null },
): Promise<OwnData> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const data: OwnData = { kind: "table", name: file.name, bytes, ...options };
  // Whatever is wrong with it is to be told now, not when the run starts.
  datasetOfOwn(data);
  return data;
}

/** The samples as training draws from them. @throws InputError where they cannot be read */
export function datasetOfOwn(data: OwnData): Dataset {
  switch (data.kind) {
    case "pictures":
      return sampledPictures(data);
    case "table": {
      const { name, bytes, label, classNames } = data;
      return csvDataset(bytes, {
        where: name,
        ...(label === null ? {} : { label }),
        ...(classNames === null ? {} : { classNames }),
      });
    }
    case "digits":
      return idxDataset(data.images, data.labels, { classes: data.classes });
  }
}

// -- keeping

const folder = "data";
const indexFile = `${folder}/index.json`;

/** Keeps samples in place of those kept before. The index goes first and comes last. */
export async function keepOwnData(files: PrivateFiles, data: OwnData): Promise<void> {
  await files.remove(folder);
  const parts: Record<string, Uint8Array> = {};
  const facts: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(data)) {
    if (!ArrayBuffer.isView(value)) facts[name] = value;
    else parts[name] = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  }
  for (const [name, bytes] of Object.entries(parts)) await files.save(`${folder}/${name}`, bytes);
  const index = JSON.stringify({ facts, parts: Object.keys(parts) });
  await files.save(indexFile, new TextEncoder().encode(index));
}

/** The samples that are kept; null where there are none, or not whole. */
export async function keptOwnData(files: PrivateFiles): Promise<OwnData | null> {
  const index = await files.read(indexFile);
  if (index === null) return null;
  try {
    const { facts, parts } = JSON.parse(new TextDecoder().decode(index)) as {
      facts: Record<string, unknown>;
      parts: string[];
    };
    const data: Record<string, unknown> = { ...facts };
    for (const name of parts) {
      const bytes = await files.read(`${folder}/${name}`);
      if (bytes === null) return null;
      // Labels of pictures are 32-bit numbers; everything else is bytes.
      const isWide = facts.kind === "pictures" && name === "labels";
      data[name] = isWide ? new Int32Array(bytes.buffer) : bytes;
    }
    const own = data as unknown as OwnData;
    datasetOfOwn(own);
    return own;
  } catch {
    // Of another version, or damaged: the person chooses again.
    return null;
  }
}

/** Forgets the samples that are kept. */
export const forgetOwnData = (files: PrivateFiles): Promise<null> => files.remove(folder);

// -- what the coordinator offers

/** What a coordinator says to who has a join token: about the run, and what data fit it. */
export interface JoinOffer {
  readonly run: string;
  /** The name that the job gives this device. */
  readonly name: string;
  readonly model: string;
  readonly rounds: number;
  /** Shape of one sample; null where the model leaves it open. */
  readonly inputShape: readonly number[] | null;
  readonly classNames: readonly string[] | null;
  /** A part of a public data set that the server has for this device; null where it has none. */
  readonly shard: {
    readonly what: string;
    readonly samples: number;
    readonly bytes: number;
  } | null;
}

/** How the run goes, as the coordinator tells who takes part. */
export interface JoinProgress {
  readonly rounds: number;
  readonly roundsAsked: number;
  readonly loss: number | null;
  /** What was measured on held-out data: ["accuracy", "93.10 %"]. */
  readonly measured: readonly [what: string, value: string] | null;
}

const get = async (server: URL, path: string, token: string): Promise<Response> => {
  const answer = await fetch(new URL(path, server), {
    headers: { authorization: `Bearer ${token}` },
    cache: "no-store",
  });
  if (answer.ok) return answer;
  throw new ProtocolError((await answer.text()).trim() || `the server answered ${answer.status}`);
};

/** @throws ProtocolError where the token is not accepted @throws TypeError where nobody answers */
export const fetchOffer = async (server: URL, token: string): Promise<JoinOffer> =>
  (await (await get(server, "api/join", token)).json()) as JoinOffer;

/** @throws as {@link fetchOffer} */
export const fetchProgress = async (server: URL, token: string): Promise<JoinProgress> =>
  (await (await get(server, "api/join/progress", token)).json()) as JoinProgress;

/** Downloads the shard that the coordinator offers. @throws as {@link fetchOffer} */
export async function fetchShard(server: URL, token: string): Promise<OwnData> {
  const file = async (name: string): Promise<Uint8Array> =>
    new Uint8Array(await (await get(server, `api/join/shard/${name}`, token)).arrayBuffer());
  const [images, labels] = await Promise.all([file("images"), file("labels")]);
  return { kind: "digits", images, labels, classes: 10 };
}
