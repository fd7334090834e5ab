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
import { type JoinOffer, type JoinProgress, readOffer, readProgress } from "../run/wire/offer.ts";
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

/** A picture that the person chose, and its class. */
export interface ChosenPicture {
  readonly file: ChosenFile;
  readonly className: string;
}

const isPicture = (name: string): boolean => /\.(png|jpe?g|webp|gif|bmp|avif|heic)$/i.test(name);

/** Pictures of a chosen folder, each in a folder named by its class; other files are left out. */
export function picturesByFolder(files: readonly ChosenFile[]): ChosenPicture[] {
  const pictures: ChosenPicture[] = [];
  for (const file of files) {
    const folders = file.webkitRelativePath.split("/").slice(0, -1);
    const className = folders.at(-1);
    // The first folder is the one that was chosen.
    if (folders.length > 1 && className !== undefined && isPicture(file.name)) {
      pictures.push({ file, className });
    }
  }
  return pictures;
}

/** Of larger pictures a smaller copy is sampled: phones refuse canvases beyond 16 million pixels. */
const pixelsMax = 4_000_000;

/**
 * Reads pictures. One at a time is held in full.
 * @throws InputError naming the file that is no picture or of no class, or saying that there is none
 */
export async function readPictures(
  chosen: readonly ChosenPicture[],
  { shape, classNames: given, onProgress }: PictureOptions,
): Promise<OwnData> {
  if (chosen.length === 0) {
    throw new InputError({
      what: "pictures",
      received: "none in a folder of its class",
      allowed: "a folder that holds one folder of pictures for each class",
    });
  }
  const pictures = chosen
    .map(({ file, className }) => ({ file, className, path: pathOf(file, className) }))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
  const classNames = given ?? [...new Set(pictures.map(({ className }) => className))].sort();
  const sampleSize = shape[0] * shape[1] * shape[2];
  const pixels = new Uint8Array(pictures.length * sampleSize);
  const labels = new Int32Array(pictures.length);
  for (const [index, { file, className, path }] of pictures.entries()) {
    const label = classNames.indexOf(className);
    if (label < 0) {
      const allowed = `one of ${classNames.join(", ")}`;
      throw new InputError({ what: "class", received: className, allowed, where: path });
    }
    labels[index] = label;
    pixels.set(pictureSample(await decodePicture(file, path), shape), index * sampleSize);
    onProgress?.(index + 1, pictures.length);
  }
  return { kind: "pictures", shape, classNames, labels, pixels };
}

const pathOf = (file: ChosenFile, className: string): string =>
  file.webkitRelativePath || `${className}/${file.name}`;

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

const get = async (server: URL, path: string, token: string): Promise<Response> => {
  const answer = await fetch(new URL(path, server), {
    headers: { authorization: `Bearer ${token}` },
    cache: "no-store",
  });
  if (answer.ok) return answer;
  throw new ProtocolError((await answer.text()).trim() || `the server answered ${answer.status}`);
};

/** What the coordinator offers. @throws ProtocolError where it refuses the token @throws TypeError where nobody answers */
export async function fetchOffer(server: URL, token: string): Promise<JoinOffer> {
  const offer = readOffer(await (await get(server, "api/join", token)).json());
  if (offer === null) throw new ProtocolError("the server is of another version than this page");
  return offer;
}

/** How the run goes. @throws as {@link fetchOffer} */
export async function fetchProgress(server: URL, token: string): Promise<JoinProgress> {
  const progress = readProgress(await (await get(server, "api/join/progress", token)).json());
  if (progress === null) throw new ProtocolError("the server is of another version than this page");
  return progress;
}

/** Downloads the shard that the coordinator offers. @throws as {@link fetchOffer} */
export async function fetchShard(
  server: URL,
  token: string,
  { classes }: { readonly classes: number },
): Promise<OwnData> {
  const file = async (name: string): Promise<Uint8Array> =>
    new Uint8Array(await (await get(server, `api/join/shard/${name}`, token)).arrayBuffer());
  const [images, labels] = await Promise.all([file("images"), file("labels")]);
  return { kind: "digits", images, labels, classes };
}
