/**
 * What peers may keep of each other's bytes, judged from the messages that cross their links:
 * rules W6 and W8 of `docs/protocol.md`, which bound the memory that a slow or silent peer can
 * cost others. It reads headers by itself and asks neither channels nor peers.
 */
import { present } from "../../src/base/assert.ts";
import { readUint32 } from "../../src/base/bytes.ts";
import type { Frame, Link } from "../../src/run/host.ts";
import { Broken } from "./checkers.ts";

/** W6: what may be under way to a receiver that has not consumed it, beside one message. */
const windowBytesMax = 4 * 1024 * 1024;
/** W4's messages wait for nothing; a lease of silence ends them. So much of them is under way at most. */
const unpacedBytesMax = 64 * 1024;
/** W4: messages that wait for nothing and have no credit. */
const unpaced: ReadonlySet<string> = new Set(["ping", "pong", "ack", "refuse"]);
/** What the coordinator passes on. */
const relayed: ReadonlySet<string> = new Set(["feature", "gradient"]);

/** A relayed frame that the coordinator has, and has not passed on. */
interface Held {
  readonly from: Direction;
  readonly to: string;
  readonly bytes: number;
  /** Frames of the same sender to the same target that were held when this one came. */
  behind: readonly Held[];
  /** Once it is passed on: whether none of those was, that counted as consumed at once; then this one may. */
  isAhead: boolean;
  /** What was called consumed as it came: its own chunks count so until it is whole (the "one frame" of W8). */
  readonly consumedBefore: number;
  /** Bytes of it that were called consumed while it was held. */
  early: number;
}

/** One direction of a connection. */
class Direction {
  /** Bytes with credit: put on the link, arrived, consumed as far as said, and as far as heard. */
  sent = 0;
  arrived = 0;
  consumed = 0;
  heard = 0;
  /** Bytes of all messages that are on the link. */
  onLink = 0;
  /** The frame whose chunks are under way: its header, and its bytes so far. */
  sending: { header: string; bytes: number } | null = null;
  arriving: { header: string; bytes: number } | null = null;
  readonly held = new Set<Held>();
}

/** The most that was under way anywhere: that a bound was never near says little. */
export interface MostHeld {
  windowBytes: number;
  linkBytes: number;
}

export class WireChecker {
  readonly #held = new Map<string, Held>();
  /** By node, what the last connection that it said hello on brings. */
  readonly #from = new Map<string, Direction>();
  readonly most: MostHeld = { windowBytes: 0, linkBytes: 0 };

  /**
   * Ends of a connection that behave as those given, and are watched.
   * @param near the worker's end; `far` is the coordinator's
   */
  watch({ near, far }: { near: Link; far: Link }): { near: Link; far: Link } {
    const [up, down] = [new Direction(), new Direction()];
    return {
      near: watched(near, {
        onSend: (frame) => this.#sent(up, down, frame, null),
        onFrame: (frame) => this.#arrived(down, up, frame, false),
      }),
      far: watched(far, {
        onSend: (frame) => this.#sent(down, up, frame, (header) => this.#passedOn(header)),
        onFrame: (frame) => this.#arrived(up, down, frame, true),
      }),
    };
  }

  #sent(
    own: Direction,
    other: Direction,
    frame: Frame,
    passedOn: ((header: string) => void) | null,
  ): void {
    const bytes = bytesOf(frame);
    own.onLink += bytes;
    const header = headerOf(frame);
    const type = header === null ? null : typeOf(header);
    if (type === "ack") {
      other.consumed = numberIn(present(header, "an ack"), "consumed");
      for (const held of other.held) {
        const most = Math.max(held.consumedBefore, other.arrived - held.bytes);
        held.early = Math.max(held.early, other.consumed - most);
      }
    }
    if (type === null || !unpaced.has(type)) {
      own.sent += bytes;
      this.#judgeWindow(own, bytes);
      const whole = assembled(own, "sending", frame, header);
      if (whole !== null) passedOn?.(whole.header);
    }
    this.most.linkBytes = Math.max(this.most.linkBytes, own.onLink);
    if (own.onLink > Math.max(windowBytesMax, bytes) + unpacedBytesMax) {
      throw new Broken(`${own.onLink} bytes are on a link that have not arrived`);
    }
  }

  #judgeWindow(own: Direction, bytes: number): void {
    const underWay = own.sent - own.heard;
    this.most.windowBytes = Math.max(this.most.windowBytes, underWay);
    if (underWay > bytes && underWay > windowBytesMax) {
      throw new Broken(`W6: ${underWay} bytes are under way that were not consumed`);
    }
  }

  #arrived(own: Direction, other: Direction, frame: Frame, isCoordinator: boolean): void {
    const bytes = bytesOf(frame);
    own.onLink -= bytes;
    const header = headerOf(frame);
    const type = header === null ? null : typeOf(header);
    if (type === "ack") other.heard = numberIn(present(header, "an ack"), "consumed");
    if (type !== null && unpaced.has(type)) return;
    own.arrived += bytes;
    const whole = assembled(own, "arriving", frame, header);
    if (isCoordinator && type === "hello")
      this.#connected(textIn(present(header, "a hello"), "name"), own);
    if (!isCoordinator || whole === null || !relayed.has(typeOf(whole.header))) return;
    const to = textIn(whole.header, "to");
    const held: Held = {
      ...{ from: own, to, bytes: whole.bytes, consumedBefore: own.consumed, early: 0 },
      ...{ behind: [...own.held].filter((other) => other.to === to), isAhead: false },
    };
    this.#held.set(whole.header, held);
    own.held.add(held);
  }

  /**
   * A node is there, maybe anew. What it sent before may never be passed on, and where a round begins
   * again under a coordinator that has come back, its frames have the headers of those.
   */
  #connected(node: string, now: Direction): void {
    const before = this.#from.get(node);
    this.#from.set(node, now);
    for (const [header, held] of this.#held) {
      if (held.from === before) this.#held.delete(header);
    }
  }

  /** The coordinator has put the last of a frame on its target's link. */
  #passedOn(header: string): void {
    const held = this.#held.get(header);
    if (held === undefined) return;
    this.#held.delete(header);
    held.from.held.delete(held);
    // What is void is held here for ever and nowhere else: only what was passed on before counts.
    held.isAhead = !held.behind.some(({ isAhead }) => isAhead);
    held.behind = [];
    if (held.early > 0 && !held.isAhead) {
      throw new Broken(
        `W8: ${held.early} bytes of a frame were called consumed before it had left`,
      );
    }
  }
}

/** A frame that a message of a link is, or ends; null where chunks are missing. */
function assembled(
  direction: Direction,
  way: "sending" | "arriving",
  frame: Frame,
  header: string | null,
): { header: string; bytes: number } | null {
  if (!isChunk(frame)) return { header: present(header, "a header"), bytes: bytesOf(frame) };
  if (readUint32(frame.head, 0) === backgroundMark) return null;
  const first = frame.body[0]?.bytes;
  const whole = direction[way] ?? { header: headerIn(present(first, "a first chunk")), bytes: 0 };
  // What a chunk adds to its piece is nobody's to keep.
  whole.bytes += bytesOf(frame) - frame.head.length;
  const isLast = readUint32(frame.head, 4) === 0;
  direction[way] = isLast ? null : whole;
  return isLast ? whole : null;
}

function watched(
  inner: Link,
  { onSend, onFrame }: { onSend: (frame: Frame) => void; onFrame: (frame: Frame) => void },
): Link {
  const link: Link = {
    send: (frame) => {
      onSend(frame);
      inner.send(frame);
    },
    close: () => inner.close(),
    onFrame: () => {},
    onClose: () => {},
  };
  inner.onFrame = (frame) => {
    onFrame(frame);
    link.onFrame(frame);
  };
  inner.onClose = (reason) => link.onClose(reason);
  return link;
}

/** The second one is that of frames in the background, which nobody passes on. */
const [chunkMark, backgroundMark] = [0xffff_ffff, 0xffff_fffe];

const bytesOf = ({ head, body }: Frame): number =>
  body.reduce((sum, { byteLength }) => sum + byteLength, head.length);

const isChunk = ({ head }: Frame): boolean =>
  [chunkMark, backgroundMark].includes(readUint32(head, 0));

const headerOf = (frame: Frame): string | null => (isChunk(frame) ? null : headerIn(frame.head));

/** The JSON at the beginning of a frame. */
function headerIn(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + 4, readUint32(bytes, 0)).toString("latin1");
}

const typeOf = (header: string): string =>
  present(/^\{"message":\{"type":"(\w+)"/.exec(header)?.[1], `a type in ${header.slice(0, 60)}`);

const textIn = (header: string, field: string): string =>
  present(
    new RegExp(`"${field}":"([^"]*)"`).exec(header)?.[1],
    `${field} in ${header.slice(0, 60)}`,
  );

const numberIn = (header: string, field: string): number =>
  Number(present(new RegExp(`"${field}":(\\d+)`).exec(header)?.[1], field));
