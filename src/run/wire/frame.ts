/**
 * Frames: one message with its tensors as bytes.
 *
 * Layout: u32 little-endian length of the JSON header, the header, zero bytes
 * up to a multiple of 8, then the tensors' raw values one after the other, each
 * starting at a multiple of 8. The header is `{ message, tensors }`, with a
 * table of name, element type, shape and [begin, end) offsets into the body, in
 * the manner of safetensors. Receiving copies nothing where memory is aligned.
 */
import * as z from "zod/mini";
import { joinBytes, readUint32, writeUint32 } from "../../base/bytes.ts";
import { messageOf, ProtocolError } from "../../base/errors.ts";
import {
  byteLength,
  bytesOf,
  type DType,
  dense,
  hollow,
  isDType,
  type Tensor,
  tensorOfBytes,
} from "../../base/tensor.ts";
import type { Frame, Payload } from "../host.ts";
import {
  type CoordinatorMessage,
  commonVersion,
  foreignVersion,
  type Message,
  messageSchemas,
  type PeerMessage,
  protocolVersions,
  type WorkerMessage,
} from "./messages.ts";
import { textLengthMax } from "./schemas.ts";

/** Tensors beside a message, by name. Order is kept. */
export type Tensors = ReadonlyMap<string, Tensor>;

const noTensors: Tensors = new Map();

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** Largest header accepted: a table of a few ten thousand tensors. */
const headerBytesMax = 8 * 1024 * 1024;

/** Largest frame accepted. */
export const frameBytesMax = 1024 * 1024 * 1024;

/** First word of a chunk, where a frame has the length of its header: see `chunks.ts`. */
export const chunkMark = 0xffff_ffff;
/** The same for a chunk of a frame in the background, among whose chunks others may come. */
export const backgroundMark = 0xffff_fffe;
/** Bytes of a chunk before those of its frame. */
export const chunkHeadBytes = 8;

const tableEntry = z.strictObject({
  name: z.string().check(z.maxLength(1024)),
  dtype: z.string(),
  shape: z.array(z.int().check(z.nonnegative())),
  begin: z.int().check(z.nonnegative()),
  end: z.int().check(z.nonnegative()),
});
const envelopes = {
  worker: z.strictObject({ message: messageSchemas.worker, tensors: z.array(tableEntry) }),
  coordinator: z.strictObject({
    message: messageSchemas.coordinator,
    tensors: z.array(tableEntry),
  }),
  peer: z.strictObject({ message: messageSchemas.peer, tensors: z.array(tableEntry) }),
} as const;

/** What every version's hello says, whatever else is in it: so versions can refuse each other. */
const anyHello = z.object({
  message: z.object({
    type: z.literal("hello"),
    protocols: z.catch(z.object({ from: z.int(), to: z.int() }), { from: 0, to: 3 }),
  }),
});

/** Rounded up to a multiple of 8; lengths may go beyond 32 bits. */
const padded = (length: number): number => Math.ceil(length / 8) * 8;

/** Encodes a message with its tensors. Tensor memory is referenced, not copied. */
export function encodeFrame(message: Message, tensors: Tensors = noTensors): Frame {
  const table: z.infer<typeof tableEntry>[] = [];
  const body: Payload[] = [];
  let offset = 0;
  for (const [name, value] of tensors) {
    const length = byteLength(value);
    const { dtype, shape } = value;
    table.push({ name, dtype, shape: [...shape], begin: offset, end: offset + length });
    body.push({ byteLength: length, bytes: value.data === null ? null : bytesOf(dense(value)) });
    const padding = padded(length) - length;
    if (padding > 0) body.push({ byteLength: padding, bytes: new Uint8Array(padding) });
    offset += padded(length);
  }
  return { head: headOf(JSON.stringify({ message: clipped(message), tensors: table })), body };
}

/** Headers are mostly a byte a character: written where they stay, and again only where one is more. */
function headOf(json: string): Uint8Array {
  let head = new Uint8Array(padded(4 + json.length));
  const { read, written } = encoder.encodeInto(json, head.subarray(4));
  writeUint32(head, 0, written);
  if (read === json.length) return head;
  const bytes = encoder.encode(json);
  head = new Uint8Array(padded(4 + bytes.length));
  writeUint32(head, 0, bytes.length);
  head.set(bytes, 4);
  return head;
}

/** A message whose reason in words is no longer than receivers take; the end of a long one is dropped. */
const clipped = (message: Message): Message =>
  "text" in message && message.text.length > textLengthMax
    ? { ...message, text: `${message.text.slice(0, textLengthMax - 1)}…` }
    : message;

/** Total bytes of a frame on the wire. */
export function frameBytes(frame: Frame): number {
  let bytes = frame.head.length;
  for (const part of frame.body) bytes += part.byteLength;
  return bytes;
}

/** Joins a frame with real bytes into one buffer, for transports that need one. */
export function joinFrame({ head, body }: Frame): Uint8Array {
  const parts = body.map(({ bytes }) => {
    if (bytes === null) throw new ProtocolError("a tensor without values cannot leave the process");
    return bytes;
  });
  return joinBytes([head, ...parts]);
}

/** Splits a received message of a link, a frame or a chunk, without copying. @throws ProtocolError */
export function splitFrame(bytes: Uint8Array): Frame {
  const headLength = headLengthOf(bytes, bytes.length);
  const rest = bytes.subarray(headLength);
  return { head: bytes.subarray(0, headLength), body: [{ byteLength: rest.length, bytes: rest }] };
}

/**
 * A frame whose bytes came in parts, however they are cut; the first one begins its
 * header. Nothing is copied but a header that lies in several parts.
 * @throws ProtocolError
 */
export function frameOfParts(parts: readonly Payload[]): Frame {
  const first = parts[0]?.bytes ?? new Uint8Array(0);
  const bytes = parts.reduce((sum, part) => sum + part.byteLength, 0);
  const reader = new BodyReader(parts);
  const head = reader.take(headLengthOf(first, bytes));
  if (head === null) throw new ProtocolError("a header without values");
  return { head, body: reader.rest() };
}

/** A decoded message of either side. */
export interface Decoded<M> {
  readonly message: M;
  readonly tensors: Tensors;
}

/** Decodes and checks a frame sent by a worker. @throws ProtocolError */
export function decodeWorkerFrame(frame: Frame): Decoded<WorkerMessage> {
  const envelope = parseHeader(frame, envelopes.worker);
  return { message: envelope.message, tensors: readTensors(envelope.tensors, frame.body) };
}

/** Decodes and checks a frame sent, or forwarded, by a coordinator. @throws ProtocolError */
export function decodeCoordinatorFrame(frame: Frame): Decoded<CoordinatorMessage> {
  const envelope = parseHeader(frame, envelopes.coordinator);
  return { message: envelope.message, tensors: readTensors(envelope.tensors, frame.body) };
}

/** Decodes and checks a frame that one worker sent to another. @throws ProtocolError */
export function decodePeerFrame(frame: Frame): Decoded<PeerMessage> {
  const envelope = parseHeader(frame, envelopes.peer);
  return { message: envelope.message, tensors: readTensors(envelope.tensors, frame.body) };
}

/** Length of the head that begins with `bytes`, of a message of `length` bytes. */
function headLengthOf(bytes: Uint8Array, length: number): number {
  if (bytes.length < 8)
    throw new ProtocolError(`a frame of ${bytes.length} bytes; at least 8 needed`);
  const jsonLength = readUint32(bytes, 0);
  if (jsonLength === chunkMark || jsonLength === backgroundMark) return chunkHeadBytes;
  if (jsonLength > headerBytesMax) {
    throw new ProtocolError(`a header of ${jsonLength} bytes; at most ${headerBytesMax} allowed`);
  }
  const headLength = padded(4 + jsonLength);
  if (headLength > length) {
    throw new ProtocolError(`a header of ${jsonLength} bytes in a frame of ${length}`);
  }
  return headLength;
}

function parseHeader<T>(frame: Frame, schema: z.ZodMiniType<T>): T {
  headLengthOf(frame.head, frame.head.length);
  const jsonLength = readUint32(frame.head, 0);
  let header: unknown;
  try {
    const json = decoder.decode(frame.head.subarray(4, 4 + jsonLength));
    header = JSON.parse(json);
  } catch (error) {
    throw new ProtocolError(`the header is not JSON: ${messageOf(error)}`, { cause: error });
  }
  const result = schema.safeParse(header);
  if (!result.success) {
    const foreign = anyHello.safeParse(header);
    if (
      foreign.success &&
      commonVersion(foreign.data.message.protocols, protocolVersions) === null
    ) {
      const text = foreignVersion(foreign.data.message.protocols);
      throw new ProtocolError(text, { reason: "version" });
    }
    const [issue] = result.error.issues;
    const type = (header as { message?: { type?: unknown } } | null)?.message?.type;
    throw new ProtocolError(
      `message ${JSON.stringify(type) ?? "without type"}: ${issue?.path.join(".")}: ${issue?.message}`,
    );
  }
  return result.data;
}

function readTensors(
  table: readonly z.infer<typeof tableEntry>[],
  body: readonly Payload[],
): Tensors {
  if (table.length === 0 && body.every((part) => part.byteLength === 0)) return noTensors;
  const tensors = new Map<string, Tensor>();
  const parts = new BodyReader(body);
  let expected = 0;
  for (const { name, dtype, shape, begin, end } of table) {
    if (!isDType(dtype)) throw new ProtocolError(`tensor "${name}": unknown element type ${dtype}`);
    if (tensors.has(name)) throw new ProtocolError(`tensor "${name}" appears twice`);
    const type = { dtype: dtype as DType, shape };
    if (begin !== expected || end - begin !== byteLength(type)) {
      throw new ProtocolError(
        `tensor "${name}": offsets [${begin}, ${end}) do not fit its type at ${expected}`,
      );
    }
    const bytes = parts.take(padded(end - begin));
    tensors.set(
      name,
      bytes === null ? hollow(type) : tensorOfBytes(type, bytes.subarray(0, end - begin)),
    );
    expected = begin + padded(end - begin);
  }
  parts.finish();
  return tensors;
}

/** Walks over a body that comes in parts: one buffer from a socket, many in memory. */
class BodyReader {
  readonly #parts: readonly Payload[];
  #index = 0;
  #offset = 0;

  constructor(parts: readonly Payload[]) {
    this.#parts = parts;
  }

  /** The next bytes, or null where they have no values. Joins parts only where it must. */
  take(length: number): Uint8Array | null {
    const pieces: Uint8Array[] = [];
    let rest = length;
    let isHollow = false;
    while (rest > 0) {
      const part = this.#parts[this.#index];
      if (part === undefined) throw new ProtocolError(`the body ends ${rest} bytes too early`);
      const size = Math.min(rest, part.byteLength - this.#offset);
      if (part.bytes === null) isHollow = true;
      else pieces.push(part.bytes.subarray(this.#offset, this.#offset + size));
      rest -= size;
      this.#offset += size;
      if (this.#offset === part.byteLength) {
        this.#index++;
        this.#offset = 0;
      }
    }
    if (isHollow) return null;
    if (pieces.length === 1) return pieces[0] as Uint8Array;
    return joinBytes(pieces);
  }

  /** The parts that have not been taken. */
  rest(): Payload[] {
    return this.#parts.slice(this.#index).map((part, i) => {
      if (i > 0 || this.#offset === 0) return part;
      const bytes = part.bytes?.subarray(this.#offset) ?? null;
      return { byteLength: part.byteLength - this.#offset, bytes };
    });
  }

  finish(): void {
    for (let i = this.#index; i < this.#parts.length; i++) {
      const rest = (this.#parts[i] as Payload).byteLength - (i === this.#index ? this.#offset : 0);
      if (rest > 0) throw new ProtocolError(`${rest} bytes follow the last tensor`);
    }
  }
}
