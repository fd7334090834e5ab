/**
 * Data sets inside R packages, read without R: `Rdata.rdx` says where in `Rdata.rdb` each value
 * lies, packed. ("R Internals", section 1.16: a lazy-load database.)
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync, inflateSync } from "node:zlib";
import { InputError, messageOf } from "../base/errors.ts";
import { type RValue, rElement, readRValue, rNumbers } from "../data/r-data.ts";

/** More than any value unpacks to. */
const unpackedBytesMax = 2 ** 30;

/**
 * Reads values by their names.
 * @param folder a package's own folder, which has `data/Rdata.rdb`
 * @throws InputError for files that cannot be read and names that are not there
 */
export function readRPackage(folder: string, names: readonly string[]): RValue[] {
  const path = join(folder, "data", "Rdata.rdb");
  let packed: Uint8Array;
  let index: RValue;
  try {
    packed = readFileSync(path);
    index = readRValue(gunzipSync(readFileSync(path.replace(/b$/, "x"))), path);
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw problem(messageOf(error), path, error);
  }
  const places = rElement(index, "variables", path);
  return names.map((name) => {
    const [offset = 0, length = 0] = rNumbers(rElement(places, name, path));
    return readRValue(unpacked(packed.subarray(offset, offset + length), path), path);
  });
}

/** A record is the length of what it holds, then that: zlib's stream, or a letter for another form. */
function unpacked(record: Uint8Array, path: string): Uint8Array {
  const body = record.subarray(4);
  try {
    switch (body[0]) {
      case 0x30: // "0": as it is
        return body.subarray(1);
      case 0x5a: // "Z": LZMA2 without a header, which no library for Node.js unpacks
        return execFileSync("xz", ["--format=raw", "--lzma2=preset=6", "-dc"], {
          input: body.subarray(1),
          maxBuffer: unpackedBytesMax,
        });
      default:
        return inflateSync(body, { maxOutputLength: unpackedBytesMax });
    }
  } catch (error) {
    if ((error as { code?: unknown }).code === "ENOENT") {
      throw new InputError({
        what: "the program xz, which unpacks this data",
        received: "not installed",
        allowed: "apt-get install xz-utils",
        where: path,
      });
    }
    throw problem(messageOf(error), path, error);
  }
}

const problem = (received: string, where: string, cause: unknown): InputError =>
  new InputError(
    { what: "R package", received, allowed: "data of an R package, whole", where },
    { cause },
  );
