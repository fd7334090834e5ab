/**
 * Pictures of any size, sorted by class, as a data set of one size. Decoding a
 * file format (PNG, JPEG) is the platform's affair: it hands over a function.
 */
import { InputError, messageOf } from "../base/errors.ts";
import { elementCount } from "../base/tensor.ts";
import { type Dataset, datasetOf, type Labels } from "./dataset.ts";

/** A decoded picture, a byte per channel and pixel, channels of a pixel side by side. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  /** 1 grey, 3 red-green-blue, 4 the same with opacity, which is ignored. */
  readonly channels: 1 | 3 | 4;
  readonly data: Uint8Array;
}

/** An encoded picture and where it came from. */
export interface PictureFile {
  /** Path or name, for errors. */
  readonly name: string;
  readonly className: string;
  readonly bytes: Uint8Array;
}

/** How pictures become samples. */
export interface ImageOptions {
  /** Turns a file's bytes into a picture; may throw anything when it cannot. */
  readonly decode: (bytes: Uint8Array, name: string) => Picture;
  /** Height and width of every sample. By default those of the first picture. */
  readonly size?: readonly [height: number, width: number];
  /** Channels of every sample; grey is 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601). */
  readonly channels?: 1 | 3;
  /** `box` averages the pixels that a target pixel covers; `nearest` takes the middle one. */
  readonly filter?: "box" | "nearest";
  /** Classes in the order of their numbers. By default the distinct ones, sorted. */
  readonly classNames?: readonly string[];
}

/**
 * Decodes pictures to a data set: float32 [channels, height, width], 0 to 1.
 * @throws InputError naming the file that cannot be decoded or has an unknown class.
 */
export function imageDataset(files: readonly PictureFile[], options: ImageOptions): Dataset {
  const classNames = options.classNames ?? [...new Set(files.map((file) => file.className))].sort();
  const numbers = new Map(classNames.map((name, index) => [name, index]));
  const labels = Int32Array.from(files, (file) => {
    const label = numbers.get(file.className);
    if (label !== undefined) return label;
    throw new InputError({
      what: "class",
      received: file.className,
      allowed: classNames.join(", "),
      where: file.name,
    });
  });
  const first = files[0];
  if (first === undefined) {
    throw new InputError({ what: "pictures", received: "none", allowed: "at least one" });
  }
  const channels = options.channels ?? 3;
  const [height, width] = options.size ?? sizeOf(decodeFile(first, options.decode));
  const shape: SampleShape = [channels, height, width];
  const sampleSize = channels * height * width;
  const pixels = new Uint8Array(files.length * sampleSize);
  for (const [index, file] of files.entries()) {
    const picture = decodeFile(file, options.decode);
    pixels.set(pictureSample(picture, shape, options.filter), index * sampleSize);
  }
  return sampledPictures({ shape, classNames, labels, pixels });
}

/** Shape of every sample. */
export type SampleShape = readonly [channels: 1 | 3, height: number, width: number];

/** One picture as a sample: a byte per value, channel after channel. */
export function pictureSample(
  picture: Picture,
  [channels, height, width]: SampleShape,
  filter: ImageOptions["filter"] = "box",
): Uint8Array {
  const resize = filter === "nearest" ? nearest : box;
  const sample = new Uint8Array(channels * height * width);
  for (let channel = 0; channel < channels; channel++) {
    const plane = sample.subarray(channel * height * width, (channel + 1) * height * width);
    resize(planeOf(picture, channel, channels), picture, plane, { height, width });
  }
  return sample;
}

/** Pictures that are samples already. */
export interface SampledPictures {
  readonly shape: SampleShape;
  readonly classNames: readonly string[];
  /** One class per sample. */
  readonly labels: Labels;
  /** What {@link pictureSample} gave, one sample after the other. */
  readonly pixels: Uint8Array;
}

/** Sampled pictures as a data set: float32 [channels, height, width], 0 to 1. */
export function sampledPictures({ shape, classNames, labels, pixels }: SampledPictures): Dataset {
  const sampleSize = elementCount(shape);
  return datasetOf({
    kind: "images",
    inputShape: shape,
    classes: classNames.length,
    classNames,
    labels,
    copySample(index, target, offset) {
      const start = index * sampleSize;
      for (let i = 0; i < sampleSize; i++) {
        target[offset + i] = (pixels[start + i] as number) / 255;
      }
    },
  });
}

interface Size {
  readonly height: number;
  readonly width: number;
}

const sizeOf = (picture: Picture): readonly [number, number] => [picture.height, picture.width];

function decodeFile(file: PictureFile, decode: ImageOptions["decode"]): Picture {
  let picture: Picture;
  try {
    picture = decode(file.bytes, file.name);
  } catch (cause) {
    throw new InputError(
      { what: "picture", received: messageOf(cause), allowed: "a whole picture", where: file.name },
      { cause },
    );
  }
  const { width, height, channels, data } = picture;
  if (width < 1 || height < 1 || data.length !== width * height * channels) {
    throw new InputError({
      what: "picture",
      received: `${width}x${height} pixels of ${channels} channels in ${data.length} bytes`,
      allowed: "at least one pixel, a byte per channel",
      where: file.name,
    });
  }
  return picture;
}

/** One channel of a picture, 0 to 255, converted between grey and colour as needed. */
function planeOf(picture: Picture, channel: number, wanted: 1 | 3): Float32Array {
  const { data, channels } = picture;
  const plane = new Float32Array(picture.width * picture.height);
  for (let i = 0, at = 0; i < plane.length; i++, at += channels) {
    if (channels === 1) plane[i] = data[at] as number;
    else if (wanted === 3) plane[i] = data[at + channel] as number;
    else {
      const [red, green, blue] = [data[at], data[at + 1], data[at + 2]] as [number, number, number];
      plane[i] = 0.299 * red + 0.587 * green + 0.114 * blue;
    }
  }
  return plane;
}

type Resize = (source: Float32Array, from: Size, target: Uint8Array, to: Size) => void;

const nearest: Resize = (source, from, target, to) => {
  for (let y = 0; y < to.height; y++) {
    const row = Math.floor(((y + 0.5) * from.height) / to.height) * from.width;
    for (let x = 0; x < to.width; x++) {
      const column = Math.floor(((x + 0.5) * from.width) / to.width);
      target[y * to.width + x] = Math.round(source[row + column] as number);
    }
  }
};

/** Area average: a source pixel counts by the share of it that the target pixel covers. */
const box: Resize = (source, from, target, to) => {
  const columns = coverage(from.width, to.width);
  const rows = coverage(from.height, to.height);
  const area = (from.width / to.width) * (from.height / to.height);
  for (const [y, row] of rows.entries()) {
    for (const [x, column] of columns.entries()) {
      let sum = 0;
      for (const [sy, heightShare] of row) {
        for (const [sx, widthShare] of column) {
          sum += heightShare * widthShare * (source[sy * from.width + sx] as number);
        }
      }
      target[y * to.width + x] = Math.min(255, Math.round(sum / area));
    }
  }
};

/** For each target position the source positions under it, with the length covered. */
function coverage(from: number, to: number): [position: number, share: number][][] {
  return Array.from({ length: to }, (_, target) => {
    const start = (target * from) / to;
    const end = ((target + 1) * from) / to;
    const shares: [number, number][] = [];
    for (let at = Math.floor(start); at < end && at < from; at++) {
      const share = Math.min(at + 1, end) - Math.max(at, start);
      if (share > 1e-9) shares.push([at, share]);
    }
    return shares;
  });
}
