/**
 * Codecs as the two ends of a link use them: any codec of the table, and any lossy one with a memory.
 *
 * `affine4+feedback` adds what earlier tensors lost to the next one (*error feedback*: Seide et al.,
 * "1-bit stochastic gradient descent", 2014; Karimireddy et al., "Error feedback fixes SignSGD and
 * other gradient compression schemes", 2019). The sender remembers, the receiver does not.
 *
 * `affine4+delta` sends how a sample's values differ from those that the receiver has of it (AQ-SGD:
 * Wang et al., "Fine-tuning language models over slow networks using activation quantization with
 * guarantees", 2022). Both ends remember, and they must remember the same: each row travels with the
 * slot in which the receiver keeps it and with how often it was replaced, so that a receiver that
 * missed something notices. A sample that comes for the first time differs from zeros; the paper
 * sends it whole, which would make bytes depend on what has been seen.
 *
 * Memory belongs to the samples where a passage names them, and otherwise to the link, row by row of
 * the batch. It is bounded, and it is an object of its own: whoever opens an end decides when it is
 * cleared, kept in a checkpoint, or moved.
 */
import { assert, present } from "../base/assert.ts";
import { isAllFinite } from "../base/finite.ts";
import {
  byteLength,
  dense,
  elementCount,
  hollow,
  sameType,
  type Tensor,
  type TensorType,
  tensor,
} from "../base/tensor.ts";
import { type CodecName, codecNames, codecs, fitsWire, wireBytes } from "./codec.ts";
import type { Codec } from "./codec-type.ts";
import { RowMemory } from "./row-memory.ts";

/** Codecs that lose something, which a memory can make up for. */
export type LossyName = Exclude<CodecName, "float32">;

/** What a memory is for. */
export type MemoryKind = "feedback" | "delta";

/** Any codec, by the name that plans and jobs use. */
export type LinkCodecName = CodecName | `${LossyName}+${MemoryKind}`;

/** Every codec that a link may have. */
export const linkCodecNames: readonly LinkCodecName[] = [
  ...codecNames,
  ...codecNames
    .filter((name) => name !== "float32")
    .flatMap((name) => [`${name}+feedback`, `${name}+delta`] as const),
];

/** What a name stands for: a codec of the table, and what its memory is for. */
interface Meaning {
  readonly plain: CodecName;
  readonly kind: MemoryKind | null;
}

/** Planners ask for bytes thousands of times, so names are taken apart once. */
const meanings: ReadonlyMap<LinkCodecName, Meaning> = new Map(
  linkCodecNames.map((name) => {
    const [plain, kind] = name.split("+") as [CodecName, MemoryKind?];
    return [name, { plain, kind: kind ?? null }];
  }),
);

const meaningOf = (name: LinkCodecName): Meaning => present(meanings.get(name), `codec ${name}`);

/** What a tensor is, on its link: what is drawn and what is remembered depend on it. */
export interface Passage {
  /** Names the drawing of codecs that round at random. */
  readonly seed: number;
  /** The sample of each row; null where rows stand for themselves. */
  readonly samples: readonly number[] | null;
}

/** What a codec's memory is for; null where it has none. */
export const memoryKind = (name: LinkCodecName): MemoryKind | null => meaningOf(name).kind;

/** The codec without its memory. */
export const plainCodec = (name: LinkCodecName): CodecName => meaningOf(name).plain;

/** How much the ends of a link may remember; both ends as much. */
export interface LinkEndOptions {
  /** Rows that are remembered at most, at least a batch's: where it is absent, a batch's. */
  readonly rows?: number;
  /** The memory that the end goes on with, which has room for as many; a new one where absent. */
  readonly memory?: RowMemory | null;
}

/** The end of a link that encodes tensors of one type. */
export interface Sender {
  /** What it remembers; null where nothing. */
  readonly memory: RowMemory | null;
  /** The parts of a tensor, which may change what is remembered. */
  encode(value: Tensor, passage: Passage): readonly Tensor[];
}

/** The end of a link that decodes tensors of one type. */
export interface Receiver {
  readonly memory: RowMemory | null;
  /** @returns null where the parts are not what the codec's sender makes, or do not follow what came before */
  decode(parts: readonly Tensor[]): Tensor | null;
}

/** The type of the part that names rows of a memory: slot, and how often the row was replaced. */
const slotsType = (type: TensorType): TensorType => ({ dtype: "int32", shape: [rowsOf(type), 2] });

/** The first axis counts rows; a tensor of one axis is one row. */
export const rowsOf = ({ shape }: TensorType): number =>
  shape.length > 1 ? (shape[0] as number) : 1;
export const rowLengthOf = ({ shape }: TensorType): number =>
  elementCount(shape.length > 1 ? shape.slice(1) : shape);

/** Bytes on the wire of one tensor of this type. */
export function linkWireBytes(name: LinkCodecName, type: TensorType): number {
  const { plain, kind } = meaningOf(name);
  return wireBytes(plain, type) + (kind === "delta" ? byteLength(slotsType(type)) : 0);
}

/** Bytes that the ends of a link remember at most. */
export function memoryBytes(
  name: LinkCodecName,
  type: TensorType,
  { rows = rowsOf(type) }: LinkEndOptions = {},
): { sender: number; receiver: number } {
  const { kind } = meaningOf(name);
  const bytes = 4 * rows * rowLengthOf(type);
  return { sender: kind === null ? 0 : bytes, receiver: kind === "delta" ? bytes : 0 };
}

/** Opens the end that encodes. */
export function openSender(
  name: LinkCodecName,
  type: TensorType,
  options: LinkEndOptions = {},
): Sender {
  const { plain, kind } = meaningOf(name);
  const codec = codecs[plain];
  if (kind === null) {
    return { memory: null, encode: (value, { seed }) => codec.encode(value, seed) };
  }
  const memory = memoryFor(type, options);
  const encode = kind === "feedback" ? encodeWithFeedback : encodeDelta;
  return {
    memory,
    encode: (value, passage) => encode({ codec, type, memory }, value, passage),
  };
}

/** Opens the end that decodes, with the options of the end that encodes. */
export function openReceiver(
  name: LinkCodecName,
  type: TensorType,
  options: LinkEndOptions = {},
): Receiver {
  const { plain, kind } = meaningOf(name);
  const codec = codecs[plain];
  if (kind !== "delta") {
    const decode = (parts: readonly Tensor[]): Tensor | null =>
      fitsWire(plain, parts, type) ? codec.decode(parts, type) : null;
    return { memory: null, decode };
  }
  const memory = memoryFor(type, options);
  return {
    memory,
    decode(parts) {
      const slots = parts[0];
      if (slots === undefined || !fitsSlots(slots, type, memory)) return null;
      if (!fitsWire(plain, parts.slice(1), type)) return null;
      return decodeDelta({ codec, type, memory }, slots, parts.slice(1));
    },
  };
}

function memoryFor(
  type: TensorType,
  { rows = rowsOf(type), memory = null }: LinkEndOptions,
): RowMemory {
  const own = memory ?? new RowMemory(rowLengthOf(type), rows);
  const { capacity, rowLength } = own;
  assert(capacity >= rowsOf(type), `a memory of ${capacity} rows for batches of ${rowsOf(type)}`);
  assert(rowLength === rowLengthOf(type), `rows of ${rowLength} values`);
  return own;
}

/** An end with memory. */
interface End {
  readonly codec: Codec;
  readonly type: TensorType;
  readonly memory: RowMemory;
}

const keysOf = ({ samples }: Passage, type: TensorType): readonly number[] => {
  const keys = samples ?? Array.from({ length: rowsOf(type) }, (_, row) => row);
  assert(keys.length === rowsOf(type), `${keys.length} samples for ${rowsOf(type)} rows`);
  return keys;
};

/** Values of a row. */
const rowAt = (values: Float32Array, row: number, { rowLength }: RowMemory): Float32Array =>
  values.subarray(row * rowLength, (row + 1) * rowLength);

/** Sends the value with what was lost before, and remembers what is lost now. */
function encodeWithFeedback(
  { codec, type, memory }: End,
  value: Tensor,
  passage: Passage,
): readonly Tensor[] {
  if (value.data === null) return codec.encode(value, passage.seed);
  const owed = (dense(value).data as Float32Array).slice();
  const keys = keysOf(passage, type);
  for (const [i, key] of keys.entries()) {
    const { row } = memory.use(key);
    const to = rowAt(owed, i, memory);
    for (let k = 0; k < row.length; k++) (to[k] as number) += row[k] as number;
    // A sample that comes twice in a batch gets what it lost once.
    row.fill(0);
  }
  const parts = codec.encode(tensor("float32", type.shape, owed), passage.seed);
  const decoded = codec.decode(parts, type);
  for (const [i, key] of keys.entries()) {
    const remembered = memory.use(key);
    remembered.count++;
    const { row } = remembered;
    const [sent, got] = [rowAt(owed, i, memory), rowAt(decoded.data as Float32Array, i, memory)];
    for (let k = 0; k < row.length; k++) {
      const lost = (sent[k] as number) - (got[k] as number);
      // What is not finite is refused where it arrives; remembered, it would spoil what follows.
      if (Number.isFinite(lost)) (row[k] as number) += lost;
    }
  }
  return parts;
}

/** Sends how the value differs from what the receiver has, and remembers what the receiver then has. */
function encodeDelta(
  { codec, type, memory }: End,
  value: Tensor,
  passage: Passage,
): readonly Tensor[] {
  if (value.data === null) return [hollow(slotsType(type)), ...codec.encode(value, passage.seed)];
  const values = (dense(value).data as Float32Array).slice();
  const remembered = keysOf(passage, type).map((key) => memory.use(key));
  const slots = new Int32Array(2 * remembered.length);
  for (const [i, { slot, count, row }] of remembered.entries()) {
    slots[2 * i] = slot;
    slots[2 * i + 1] = count;
    const to = rowAt(values, i, memory);
    for (let k = 0; k < row.length; k++) (to[k] as number) -= row[k] as number;
  }
  const parts = codec.encode(tensor("float32", type.shape, values), passage.seed);
  keep(remembered, codec.decode(parts, type), memory);
  return [tensor("int32", slotsType(type).shape, slots), ...parts];
}

/** Whether rows are of this memory, and have been replaced as often as the sender says. */
function fitsSlots(slots: Tensor, type: TensorType, memory: RowMemory): boolean {
  const hasType = sameType(slots, slotsType(type));
  if (!hasType || slots.data === null) return hasType;
  const data = slots.data as Int32Array;
  for (let i = 0; i < data.length; i += 2) {
    const [slot, count] = [data[i] as number, data[i + 1] as number];
    if (slot < 0 || slot >= memory.capacity || count < 0) return false;
    // A row that begins anew follows from nothing.
    if (count > 0 && memory.get(slot)?.count !== count) return false;
  }
  return true;
}

function decodeDelta(
  { codec, type, memory }: End,
  slots: Tensor,
  parts: readonly Tensor[],
): Tensor {
  const decoded = codec.decode(parts, type);
  if (slots.data === null || decoded.data === null) return hollow(type);
  const data = slots.data as Int32Array;
  const remembered = Array.from({ length: rowsOf(type) }, (_, i) => {
    const each = memory.useSlot(data[2 * i] as number);
    if (data[2 * i + 1] === 0) {
      each.row.fill(0);
      each.count = 0;
    }
    return each;
  });
  return keep(remembered, decoded, memory);
}

/**
 * Adds to what is remembered of each row what has come, and remembers the sums; both ends compute the
 * same. A row that comes twice differs from the same row both times.
 */
function keep(
  remembered: readonly { count: number; readonly row: Float32Array }[],
  come: Tensor,
  memory: RowMemory,
): Tensor {
  // Decoded values are nobody else's, so they may become the sums.
  const sums = dense(come).data as Float32Array;
  for (const [i, { row }] of remembered.entries()) {
    const to = rowAt(sums, i, memory);
    for (let k = 0; k < row.length; k++) (to[k] as number) += row[k] as number;
  }
  const value = tensor("float32", come.shape, sums);
  // What is not finite is refused where it arrives; remembered, it would spoil what follows.
  if (!isAllFinite(value)) return value;
  const counts = remembered.map(({ count }) => count);
  for (const [i, each] of remembered.entries()) {
    each.row.set(rowAt(sums, i, memory));
    each.count = (counts[i] as number) + 1;
  }
  return value;
}
