/**
 * The idx format of the MNIST files (LeCun, Cortes and Burges): two zero bytes,
 * a code for the element type, the number of dimensions, each dimension as a
 * big-endian 32-bit integer, then the values, last dimension fastest. Only
 * unsigned bytes (code 8) are read, which is what images and labels use.
 */
import { assert } from "../base/assert.ts";
import { InputError } from "../base/errors.ts";
import { elementCount } from "../base/tensor.ts";
import { type Dataset, datasetOf, type Labels } from "./dataset.ts";

const unsignedByte = 0x08;

interface IdxFile {
  readonly shape: readonly number[];
  /** A view of the file's bytes. */
  readonly values: Uint8Array;
}

/**
 * Images and labels as a data set: float32 [1, height, width], pixels divided by 255.
 * @param options.classes number of classes, where some may be absent from this file;
 *   otherwise the largest label decides.
 * @param options.where names of the two files, for errors.
 * @throws InputError when a file is not idx, is cut short, or the two do not belong together.
 */
export function idxDataset(
  images: Uint8Array,
  labels: Uint8Array,
  options: { classes?: number; where?: { images: string; labels: string } } = {},
): Dataset {
  const where = options.where ?? { images: "images", labels: "labels" };
  const pixels = readIdx(images, 3, where.images);
  const classOf = readIdx(labels, 1, where.labels).values;
  const [samples = 0, height = 0, width = 0] = pixels.shape;
  if (samples !== classOf.length) {
    throw new InputError({
      what: "number of labels",
      received: String(classOf.length),
      allowed: `${samples}, one per image of ${where.images}`,
      where: where.labels,
    });
  }
  const size = height * width;
  return datasetOf({
    kind: "idx",
    inputShape: [1, height, width],
    classes: options.classes ?? largest(classOf) + 1,
    labels: classOf,
    copySample(index, target, offset) {
      const start = index * size;
      for (let i = 0; i < size; i++) {
        target[offset + i] = (pixels.values[start + i] as number) / 255;
      }
    },
  });
}

function largest(labels: Labels): number {
  let most = 0;
  for (const label of labels) most = Math.max(most, label);
  return most;
}

function readIdx(bytes: Uint8Array, dimensions: number, where: string): IdxFile {
  const problem = (what: string, received: string, allowed: string) =>
    new InputError({ what, received, allowed, where });
  const head = 4 + 4 * dimensions;
  if (bytes.length < head) {
    throw problem("idx file", `${bytes.length} bytes`, `at least ${head} bytes`);
  }
  const magic = [...bytes.subarray(0, 4)];
  if (magic[0] !== 0 || magic[1] !== 0 || magic[2] !== unsignedByte || magic[3] !== dimensions) {
    throw problem(
      "idx file's first bytes",
      magic.join(" "),
      `0 0 ${unsignedByte} ${dimensions} (unsigned bytes in ${dimensions} dimensions)`,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const shape = Array.from({ length: dimensions }, (_, axis) => view.getUint32(4 + 4 * axis));
  const expected = head + elementCount(shape);
  if (shape.includes(0)) throw problem("idx file's dimensions", shape.join("x"), "1 or more each");
  if (bytes.length !== expected) {
    throw problem(`idx file of ${shape.join("x")}`, `${bytes.length} bytes`, `${expected} bytes`);
  }
  return { shape, values: bytes.subarray(head) };
}

/**
 * An idx file with the images of a subset, as bytes.
 * @param indices positions in the images file, in the order in which they are written.
 */
export function writeIdxImages(images: Uint8Array, indices: ArrayLike<number>): Uint8Array {
  return writeSubset(readIdx(images, 3, "images"), indices);
}

/** An idx file with the labels of a subset, as bytes; `indices` as for {@link writeIdxImages}. */
export function writeIdxLabels(labels: Uint8Array, indices: ArrayLike<number>): Uint8Array {
  return writeSubset(readIdx(labels, 1, "labels"), indices);
}

function writeSubset(file: IdxFile, indices: ArrayLike<number>): Uint8Array {
  const [samples = 0, ...rest] = file.shape;
  const size = elementCount(rest);
  const head = 4 + 4 * file.shape.length;
  const bytes = new Uint8Array(head + indices.length * size);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, (unsignedByte << 8) | file.shape.length);
  for (const [axis, dimension] of [indices.length, ...rest].entries()) {
    view.setUint32(4 + 4 * axis, dimension);
  }
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i] as number;
    assert(index >= 0 && index < samples, `sample ${index} of ${samples}`);
    bytes.set(file.values.subarray(index * size, (index + 1) * size), head + i * size);
  }
  return bytes;
}
