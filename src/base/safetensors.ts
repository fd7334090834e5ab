/**
 * Named tensors as bytes, in the safetensors format (Hugging Face, format
 * description of 2023): the length of a header as a little-endian u64, the header
 * as JSON (name to dtype, shape and byte range, with free text under
 * "__metadata__"), then the values, back to back. The header is padded with
 * spaces so that values begin at a multiple of 8.
 *
 * Bytes may come from anywhere, so the reader checks everything that the format
 * promises: no range beyond the end, no overlap, no hole.
 */
import { joinBytes } from "./bytes.ts";
import { InputError } from "./errors.ts";
import {
  byteLength,
  bytesOf,
  bytesPerElement,
  type DenseTensor,
  type DType,
  elementCount,
  tensorOfBytes,
} from "./tensor.ts";

const codes: { readonly [D in DType]: string } = {
  float32: "F32",
  float64: "F64",
  float16: "F16",
  int64: "I64",
  int32: "I32",
  int8: "I8",
  uint8: "U8",
  bool: "BOOL",
};

const dtypes: ReadonlyMap<string, DType> = new Map(
  Object.entries(codes).map(([dtype, code]) => [code, dtype as DType]),
);

const metadataKey = "__metadata__";
/** The format's own limit on the header. */
const headerBytesMax = 100_000_000;

/** Tensors of a file, with its free text. */
export interface Safetensors {
  readonly tensors: Map<string, DenseTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Writes tensors; wider elements first, then by name, so that every tensor is
 * aligned and the same tensors give the same bytes.
 * @throws InputError for a tensor that has the reserved name `__metadata__`.
 */
export function writeSafetensors(
  tensors: ReadonlyMap<string, DenseTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  return joinBytes(safetensorsParts(tensors, metadata));
}

/** {@link writeSafetensors} without copying values: the parts of the file, which view the tensors. */
export function safetensorsParts(
  tensors: ReadonlyMap<string, DenseTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array[] {
  const entries = [...tensors].sort(
    ([nameA, a], [nameB, b]) =>
      bytesPerElement(b.dtype) - bytesPerElement(a.dtype) || (nameA < nameB ? -1 : 1),
  );
  const described: [string, unknown][] = [];
  if (Object.keys(metadata).length > 0) described.push([metadataKey, metadata]);
  let end = 0;
  for (const [name, value] of entries) {
    if (name === metadataKey) throw problem("tensor name", metadataKey, "any other name");
    const begin = end;
    end += byteLength(value);
    described.push([
      name,
      { dtype: codes[value.dtype], shape: value.shape, data_offsets: [begin, end] },
    ]);
  }
  const header = new TextEncoder().encode(JSON.stringify(Object.fromEntries(described)));
  const padded = Math.ceil(header.length / 8) * 8;
  if (padded > headerBytesMax) {
    throw problem("header", `${padded} bytes`, `at most ${headerBytesMax} bytes`);
  }
  const head = new Uint8Array(8 + padded);
  new DataView(head.buffer).setBigUint64(0, BigInt(padded), true);
  head.set(header, 8);
  head.fill(0x20, 8 + header.length);
  return [head, ...entries.map(([, value]) => bytesOf(value))];
}

/**
 * Reads tensors, in the order in which their values lie in the file. They view the bytes
 * where alignment allows, so keep the bytes unchanged as long as the tensors are used.
 * @throws InputError for bytes that break the format, or an element type that we lack.
 */
export function readSafetensors(bytes: Uint8Array): Safetensors {
  if (bytes.length < 8) throw problem("file", `${bytes.length} bytes`, "at least 8 bytes");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerBytes = Number(view.getBigUint64(0, true));
  if (headerBytes > headerBytesMax || headerBytes > bytes.length - 8) {
    throw problem(
      "header length",
      String(headerBytes),
      `at most ${Math.min(headerBytesMax, bytes.length - 8)} bytes`,
    );
  }
  const header = parseHeader(bytes.subarray(8, 8 + headerBytes));
  const values = bytes.subarray(8 + headerBytes);
  const metadata = readMetadata(header[metadataKey]);
  const entries = Object.entries(header)
    .filter(([name]) => name !== metadataKey)
    .map(([name, entry]) => ({ name, ...readEntry(name, entry) }))
    .sort((a, b) => a.begin - b.begin || a.end - b.end);
  const tensors = new Map<string, DenseTensor>();
  let expected = 0;
  for (const { name, begin, end, dtype, shape } of entries) {
    if (begin !== expected) {
      throw problem("data_offsets", `${begin} to ${end}`, `a range from ${expected} on`, name);
    }
    if (end > values.length) {
      throw problem("data_offsets", `end ${end}`, `at most ${values.length}`, name);
    }
    tensors.set(name, tensorOfBytes({ dtype, shape }, values.subarray(begin, end)));
    expected = end;
  }
  if (expected !== values.length) {
    throw problem("bytes of values", String(values.length), `${expected}, as the header says`);
  }
  return { tensors, metadata };
}

const problem = (what: string, received: string, allowed: string, tensor?: string): InputError =>
  new InputError({
    what,
    received,
    allowed,
    where: tensor === undefined ? "safetensors" : `safetensors, tensor "${tensor}"`,
  });

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function parseHeader(bytes: Uint8Array): Record<string, unknown> {
  if (bytes[0] !== 0x7b) throw problem("header", `first byte ${bytes[0]}`, "an opening brace");
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (cause) {
    throw new InputError(
      { what: "header", received: "no JSON", allowed: "a JSON object", where: "safetensors" },
      { cause },
    );
  }
  if (!isObject(header)) throw problem("header", JSON.stringify(header), "a JSON object");
  return header;
}

function readMetadata(value: unknown): Record<string, string> {
  if (value === undefined) return {};
  if (!isObject(value) || !Object.values(value).every((text) => typeof text === "string")) {
    throw problem(metadataKey, JSON.stringify(value), "texts by name");
  }
  return value as Record<string, string>;
}

const isSize = (value: unknown): value is number =>
  Number.isSafeInteger(value) && Number(value) >= 0;

function readEntry(
  name: string,
  entry: unknown,
): { dtype: DType; shape: number[]; begin: number; end: number } {
  const { dtype: code, shape, data_offsets: offsets } = isObject(entry) ? entry : {};
  const dtype = typeof code === "string" ? dtypes.get(code) : undefined;
  if (dtype === undefined) {
    throw problem("dtype", JSON.stringify(code) ?? "none", [...dtypes.keys()].join(", "), name);
  }
  if (!Array.isArray(shape) || !shape.every(isSize)) {
    throw problem("shape", JSON.stringify(shape) ?? "none", "integers of at least 0", name);
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize)) {
    throw problem("data_offsets", JSON.stringify(offsets) ?? "none", "[begin, end]", name);
  }
  const [begin, end] = offsets as [number, number];
  const needed = elementCount(shape) * bytesPerElement(dtype);
  if (end - begin !== needed) {
    throw problem("data_offsets", `${end - begin} bytes`, `${needed} bytes for its shape`, name);
  }
  return { dtype, shape, begin, end };
}
