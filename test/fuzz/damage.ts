/** Damage to messages of a link: bytes that are wrong anywhere, and frames that are well-formed and say something wrong. */
import { joinBytes } from "../../src/base/bytes.ts";
import { type Random, random } from "../../src/base/random.ts";
import type { Frame, Link } from "../../src/run/host.ts";
import { chunkMark, decodeWorkerFrame, joinFrame, splitFrame } from "../../src/run/wire/frame.ts";

/** One of a list, by chance. */
export const pick = <T>(draw: Random, from: readonly T[]): T => from[draw.below(from.length)] as T;

const nastyBytes = [0x00, 0x01, 0x20, 0x22, 0x2c, 0x7b, 0x7d, 0x80, 0xff];
const nastyValues: readonly unknown[] = [
  null,
  true,
  -1,
  0,
  1,
  2,
  0.5,
  7,
  99,
  2 ** 31,
  2 ** 53,
  1e300,
  "",
  "a",
  "edge",
  "chain:a",
  "copy:b",
  "__proto__",
  "x".repeat(5000),
  [],
  {},
  [[]],
];

/** Any bytes at all, some of which begin like a chunk or with a length that could be one. */
export function randomBytes(draw: Random): Uint8Array {
  const bytes = Uint8Array.from({ length: draw.below(200) }, () => draw.below(256));
  if (bytes.length < 8) return bytes;
  const view = new DataView(bytes.buffer);
  if (draw.below(3) === 0)
    view.setUint32(0, draw.below(2) === 0 ? chunkMark : draw.below(300), true);
  if (draw.below(4) === 0) view.setUint32(4, draw.below(100_000), true);
  return bytes;
}

/** The message with a little damage, of one kind or another. */
export function damaged(bytes: Uint8Array, draw: Random): Uint8Array {
  return draw.below(3) === 0
    ? damagedBytes(bytes, draw)
    : (damagedFrame(bytes, draw) ?? damagedBytes(bytes, draw));
}

function damagedBytes(original: Uint8Array, draw: Random): Uint8Array {
  let bytes: Uint8Array = original.slice();
  for (let i = draw.below(4); i >= 0; i--) {
    const at = draw.below(Math.max(1, bytes.length));
    switch (draw.below(5)) {
      case 0:
        bytes[at] = pick(draw, nastyBytes);
        break;
      case 1:
        bytes[at] = (bytes[at] as number) ^ (1 << draw.below(8));
        break;
      case 2:
        bytes = bytes.slice(0, at);
        break;
      case 3:
        bytes = joinBytes([bytes.slice(0, at), bytes.slice(at + 1 + draw.below(20))]);
        break;
      default:
        bytes = joinBytes([bytes, randomBytes(draw)]);
    }
  }
  return bytes;
}

interface Header {
  message: Record<string, unknown>;
  tensors: Record<string, unknown>[];
}

/** Another header over the same tensors, or other tensors under it; null where there is no header. */
function damagedFrame(bytes: Uint8Array, draw: Random): Uint8Array | null {
  let header: Header;
  let body: Uint8Array;
  try {
    const frame = splitFrame(bytes);
    const length = new DataView(frame.head.buffer, frame.head.byteOffset).getUint32(0, true);
    header = JSON.parse(new TextDecoder().decode(frame.head.subarray(4, 4 + length)));
    body = (frame.body[0]?.bytes ?? new Uint8Array(0)).slice();
  } catch {
    return null;
  }
  for (let i = draw.below(3); i >= 0; i--) {
    const places = placesOf(draw.below(3) === 0 ? header.tensors : header.message);
    if (draw.below(6) === 0 && body.length >= 4) {
      // A value that is no number, or a bit of it.
      const at = 4 * draw.below(Math.floor(body.length / 4));
      new DataView(body.buffer).setFloat32(at, pick(draw, [Number.NaN, Infinity, 1e38, -0]), true);
    } else if (places.length > 0) {
      const [holder, key] = pick(draw, places);
      if (draw.below(5) === 0) delete (holder as Record<string, unknown>)[key];
      else if (draw.below(8) === 0) (holder as Record<string, unknown>)[`${key}x`] = holder[key];
      else (holder as Record<string, unknown>)[key] = another(holder[key], draw);
    }
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const head = new Uint8Array(Math.ceil((4 + json.length) / 8) * 8);
  new DataView(head.buffer).setUint32(0, json.length, true);
  head.set(json, 4);
  return joinBytes([head, body]);
}

/** A value of the same kind, mostly. */
function another(value: unknown, draw: Random): unknown {
  if (draw.below(3) === 0) return pick(draw, nastyValues);
  if (typeof value === "number") return value + draw.below(5) - 2;
  if (typeof value === "string") return draw.below(2) === 0 ? `${value}x` : value.slice(1);
  return pick(draw, nastyValues);
}

type Place = readonly [holder: Readonly<Record<string, unknown>>, key: string];

/** Every field of a message, however deep. */
function placesOf(value: unknown, places: Place[] = []): Place[] {
  if (typeof value !== "object" || value === null) return places;
  const holder = value as Record<string, unknown>;
  for (const key of Object.keys(holder)) {
    places.push([holder, key]);
    placesOf(holder[key], places);
  }
  return places;
}

/** Bytes as a link hands them over, whatever they are. */
export function received(bytes: Uint8Array): Frame {
  try {
    return splitFrame(bytes);
  } catch {
    return { head: bytes, body: [] };
  }
}

export interface Damage {
  readonly seed: number;
  /** Chance of each message, per thousand, each way. */
  readonly sent: number;
  readonly heard: number;
  /** Told of each damaged message. */
  onDamaged(): void;
  /** Told of each message, damaged or not, that carries values no training gives. */
  onWild(): void;
}

/** Values that are finite and far too large: no rule forbids them, and training diverges of them. */
function isWild(frame: Frame): boolean {
  try {
    const { tensors } = decodeWorkerFrame(frame);
    return [...tensors.values()].some(
      ({ data }) => data instanceof Float32Array && data.some((value) => Math.abs(value) > 1e3),
    );
  } catch {
    return false;
  }
}

/** A link on which some messages are damaged; the one that introduces a worker is left alone. */
export function damagingLink(link: Link, damage: Damage): Link {
  const draw = random(damage.seed);
  const pass = (frame: Frame, perMille: number): Frame => {
    if (draw.below(1000) >= perMille) return frame;
    const bytes = joinFrame(frame);
    if (new TextDecoder().decode(frame.head).includes('"type":"hello"')) return frame;
    damage.onDamaged();
    return received(damaged(bytes, draw));
  };
  const outer: Link = {
    send(frame) {
      const passed = pass(frame, damage.sent);
      if (isWild(passed)) damage.onWild();
      link.send(passed);
    },
    close: () => link.close(),
    onFrame: () => {},
    onClose: () => {},
  };
  link.onFrame = (frame) => outer.onFrame(pass(frame, damage.heard));
  link.onClose = (reason) => outer.onClose(reason);
  return outer;
}
