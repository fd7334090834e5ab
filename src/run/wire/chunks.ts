/**
 * Chunks: how a frame travels that would keep a link busy for too long. It is cut
 * into messages of the link, between which heartbeats and acknowledgements pass,
 * and is whole again before anybody decodes it.
 *
 * Layout: u32 mark, u32 little-endian number of the frame's bytes that follow after
 * this chunk, then the chunk's bytes. The mark stands where a frame has the length
 * of its header, and no header is so long. A frame in the background has a mark of its own, so that
 * others can pass between its chunks.
 */
import { present } from "../../base/assert.ts";
import { readUint32, writeUint32 } from "../../base/bytes.ts";
import { ProtocolError } from "../../base/errors.ts";
import type { Frame, Payload } from "../host.ts";
import { backgroundMark, chunkHeadBytes, chunkMark, frameBytes, frameOfParts } from "./frame.ts";

/** Fewest bytes of a frame in a chunk, but for the last one. */
export const chunkBytesMin = 16 * 1024;
/** Most bytes of a frame in a chunk, and largest frame that travels as it is. */
export const chunkBytesMax = 1024 * 1024;
/** Largest message that crosses a link. */
export const linkMessageBytesMax = chunkBytesMax + chunkHeadBytes;

const markOf = ({ head }: Frame): number | null =>
  head.length === chunkHeadBytes ? readUint32(head, 0) : null;

const isChunk = (message: Frame): boolean =>
  markOf(message) === chunkMark || isOfBackground(message);

/** Whether a message of the link is a chunk of a frame in the background. */
export const isOfBackground = (message: Frame): boolean => markOf(message) === backgroundMark;

/** Cuts a frame into messages of a link, each as large as the rate of the moment asks. */
export class Cutter {
  readonly #frame: Frame;
  readonly #parts: readonly Payload[];
  readonly #bytes: number;
  readonly #mark: number;
  #rest: number;
  #index = 0;
  #offset = 0;

  constructor(frame: Frame, mark = chunkMark) {
    this.#frame = frame;
    this.#mark = mark;
    this.#parts = [{ byteLength: frame.head.length, bytes: frame.head }, ...frame.body];
    this.#bytes = frameBytes(frame);
    this.#rest = this.#bytes;
  }

  /** Bytes of the whole frame. */
  get size(): number {
    return this.#bytes;
  }

  /** Bytes of the frame that have not been cut off yet. */
  get rest(): number {
    return this.#rest;
  }

  /** The next message: the frame itself where it fits, otherwise a chunk of so many bytes. */
  next(chunkBytes: number): Frame {
    if (this.#rest === this.#bytes && this.#bytes <= chunkBytes) {
      this.#rest = 0;
      return this.#frame;
    }
    // Multiples of 8 keep tensors aligned that lie within one chunk.
    const size = Math.min(this.#rest, chunkBytes - (chunkBytes % 8));
    const body = this.#take(size);
    this.#rest -= size;
    const head = new Uint8Array(chunkHeadBytes);
    writeUint32(head, 0, this.#mark);
    writeUint32(head, 4, this.#rest);
    return { head, body };
  }

  #take(size: number): Payload[] {
    const taken: Payload[] = [];
    let missing = size;
    while (missing > 0) {
      const part = this.#parts[this.#index] as Payload;
      const length = Math.min(missing, part.byteLength - this.#offset);
      const bytes = part.bytes?.subarray(this.#offset, this.#offset + length) ?? null;
      if (length > 0) taken.push({ byteLength: length, bytes });
      missing -= length;
      this.#offset += length;
      if (this.#offset === part.byteLength) {
        this.#index++;
        this.#offset = 0;
      }
    }
    return taken;
  }
}

/**
 * Memory that a frame gets before its bytes are there, of which systems take none until it is
 * written to; above, it grows with what has come, whatever was announced.
 */
const reservedBytesMax = 64 * 1024 * 1024;
const growth = 4;

/**
 * Puts the chunks of a frame together again. Holds at most one frame. Bytes are copied once, while
 * they are warm, and the memory of a chunk is freed at once instead of waiting for the collector.
 */
export class Assembler {
  #rest = 0;
  #buffer = new Uint8Array(0);
  #length = 0;
  /** The frame's parts, where some have no values; null where all do. */
  #parts: Payload[] | null = null;

  /** Whether chunks of a frame are still missing. */
  get isBusy(): boolean {
    return this.#rest > 0;
  }

  /**
   * Takes a message of the link, and the memory of a chunk with it.
   * @param bytesMax largest frame accepted
   * @returns the whole frame that it is or completes; null while chunks are missing
   * @throws ProtocolError where it breaks the rules of chunks
   */
  take(message: Frame, bytesMax: number): Frame | null {
    const bytes = frameBytes(message);
    if (!isChunk(message)) {
      const allowed = Math.min(chunkBytesMax, bytesMax);
      if (bytes <= allowed) return message;
      throw new ProtocolError(`a frame of ${bytes} bytes in one piece; at most ${allowed} allowed`);
    }
    const size = bytes - chunkHeadBytes;
    const rest = readUint32(message.head, 4);
    this.#check(size, rest, bytesMax);
    if (message.body.some(({ bytes }) => bytes === null)) this.#parts ??= this.#partsSoFar();
    for (const part of message.body) this.#add(part, size + rest);
    this.#rest = rest;
    return rest > 0 ? null : this.#complete();
  }

  #check(size: number, rest: number, bytesMax: number): void {
    if (size > chunkBytesMax || size < (rest > 0 ? chunkBytesMin : 1)) {
      throw new ProtocolError(
        `a chunk of ${size} bytes; ${chunkBytesMin} to ${chunkBytesMax} allowed`,
      );
    }
    if (this.#rest === 0 && rest === 0) throw new ProtocolError("a chunk that ends no frame");
    if (this.#rest > 0 && size + rest !== this.#rest) {
      throw new ProtocolError(`a chunk of ${size} bytes before ${rest}, but ${this.#rest} missing`);
    }
    if (this.#rest === 0 && size + rest > bytesMax) {
      throw new ProtocolError(`a frame of ${size + rest} bytes; at most ${bytesMax} allowed`);
    }
  }

  #add(part: Payload, missing: number): void {
    if (this.#parts !== null) return void this.#parts.push(part);
    const bytes = present(part.bytes, "bytes of a part that has values");
    const needed = this.#length + bytes.length;
    if (needed > this.#buffer.length) {
      const reserved = Math.max(reservedBytesMax, growth * this.#buffer.length);
      const larger = new Uint8Array(Math.min(this.#length + missing, reserved));
      larger.set(this.#buffer.subarray(0, this.#length));
      this.#buffer = larger;
    }
    this.#buffer.set(bytes, this.#length);
    this.#length = needed;
    if (bytes.length === bytes.buffer.byteLength) (bytes.buffer as ArrayBuffer).transfer(0);
  }

  #partsSoFar(): Payload[] {
    const bytes = this.#buffer.subarray(0, this.#length);
    return bytes.length === 0 ? [] : [{ byteLength: bytes.length, bytes }];
  }

  #complete(): Frame {
    const parts = this.#parts ?? this.#partsSoFar();
    this.#buffer = new Uint8Array(0);
    this.#length = 0;
    this.#parts = null;
    return frameOfParts(parts);
  }
}
