/**
 * What every link promises, as a suite: messages arrive whole and in order, or the
 * link closes, and both sides are told once. Memory, virtual time, sockets, and those to come.
 */
import { describe, expect, test } from "vitest";
import { random } from "../../src/base/random.ts";
import type { Frame, Link } from "../../src/run/host.ts";
import { Cutter, chunkBytesMax } from "../../src/run/wire/chunks.ts";
import { encodeFrame, frameOfParts } from "../../src/run/wire/frame.ts";

export interface LinkSubject {
  readonly name: string;
  /** Opens a link; its two ends. */
  open(): Promise<readonly [Link, Link]>;
  /** Lets time pass until something is so; on real clocks for a few seconds at most. */
  until(isSo: () => boolean): Promise<void>;
  /** Whether the medium carries tensors without values. */
  readonly carriesHollow: boolean;
}

/** One end with what happened to it. */
interface End {
  readonly link: Link;
  readonly messages: Frame[];
  readonly reasons: string[];
}

function watched(link: Link): End {
  const end: End = { link, messages: [], reasons: [] };
  link.onFrame = (message) => end.messages.push(message);
  link.onClose = (reason) => end.reasons.push(reason);
  return end;
}

/** A frame of many parts, with every byte drawn. */
function frameOf(seed: number, sizes: readonly number[]): Frame {
  const draw = random(seed);
  const { head } = encodeFrame({ type: "ready", term: seed });
  const body = sizes.map((size) => {
    const bytes = new Uint8Array(size);
    for (let i = 0; i < size; i += 1 + draw.below(50)) bytes[i] = draw.below(256);
    return { byteLength: size, bytes };
  });
  return { head, body };
}

/** Everything that a message holds, its parts joined: how a body is cut is a medium's own affair. */
function contentOf({ head, body }: Frame): string {
  const { head: whole, body: parts } = frameOfParts([
    { byteLength: head.length, bytes: head },
    ...body,
  ]);
  let hash = 0;
  let length = 0;
  for (const { bytes } of [{ bytes: whole }, ...parts]) {
    for (const byte of bytes ?? []) hash = (Math.imul(hash, 31) + byte) | 0;
    length += bytes?.length ?? 0;
  }
  return `${length} bytes, ${hash}`;
}

export function testLink(subject: LinkSubject): void {
  const open = async (): Promise<readonly [End, End]> => {
    const [near, far] = await subject.open();
    return [watched(near), watched(far)];
  };
  const closed = (...ends: readonly End[]) =>
    subject.until(() => ends.every(({ reasons }) => reasons.length > 0));
  const finish = async (...ends: readonly End[]) => {
    for (const { link } of ends) link.close();
    await closed(...ends);
  };

  describe(`link ${subject.name}`, () => {
    test("W1: brings messages whole and in order, both ways at once", async () => {
      const [near, far] = await open();
      const frames = Array.from({ length: 60 }, (_, i) =>
        frameOf(i, i % 3 === 0 ? [] : [8 * (i % 7), 8 * i * i, 1000 + i]),
      );
      for (const frame of frames) {
        near.link.send(frame);
        far.link.send(frame);
      }
      const expected = frames.map(contentOf);
      for (const end of [near, far]) {
        await subject.until(() => end.messages.length === frames.length);
        expect(end.messages.map(contentOf)).toEqual(expected);
      }
      await finish(near, far);
    });

    test("W1: brings the largest message, and one without a body", async () => {
      const [near, far] = await open();
      const frames = [frameOf(1, [chunkBytesMax - 64]), frameOf(2, []), frameOf(3, [0, 0])];
      for (const frame of frames) near.link.send(frame);
      await subject.until(() => far.messages.length === frames.length);
      expect(far.messages.map(contentOf)).toEqual(frames.map(contentOf));
      await finish(near, far);
    });

    test("W3: brings chunks as it brings frames", async () => {
      const [near, far] = await open();
      const cutter = new Cutter(frameOf(4, [300_000, 8, 500_000]));
      const chunks: Frame[] = [];
      while (cutter.rest > 0) chunks.push(cutter.next(100_000));
      for (const chunk of chunks) near.link.send(chunk);
      await subject.until(() => far.messages.length === chunks.length);
      expect(far.messages.map(contentOf)).toEqual(chunks.map(contentOf));
      expect(far.messages.every(({ head }) => head.length === 8)).toBe(true);
      await finish(near, far);
    });

    test("W1: gives the receiver memory of its own", async () => {
      const [near, far] = await open();
      const frame = frameOf(5, [50_000, 8]);
      const before = contentOf(frame);
      near.link.send(frame);
      await subject.until(() => far.messages.length > 0);
      for (const { head, body } of far.messages) {
        head.fill(0);
        for (const { bytes } of body) bytes?.fill(0);
      }
      expect(contentOf(frame)).toBe(before);
      await finish(near, far);
    });

    test("W1: never answers within the call that sends or closes", async () => {
      const [near, far] = await open();
      near.link.send(frameOf(1, []));
      expect(far.messages).toEqual([]);
      near.link.close();
      expect([near.reasons, far.reasons]).toEqual([[], []]);
      await closed(near, far);
    });

    test("W1: tells each side of the end exactly once, whoever closes and however often", async () => {
      const [near, far] = await open();
      near.link.close();
      near.link.close();
      await closed(near, far);
      far.link.close();
      near.link.close();
      const [other, another] = await open();
      await finish(other, another);
      for (const end of [near, far, other, another]) {
        expect(end.reasons).toHaveLength(1);
        expect(end.reasons[0]).not.toBe("");
      }
    });

    test("W1: what was sent before the end arrives before it", async () => {
      const [near, far] = await open();
      const order: string[] = [];
      far.link.onFrame = () => order.push("message");
      far.link.onClose = () => order.push("end");
      for (let i = 0; i < 20; i++) near.link.send(frameOf(i, [100_000]));
      near.link.close();
      await subject.until(() => order.includes("end"));
      expect(order).toEqual([...Array.from({ length: 20 }, () => "message"), "end"]);
    });

    test("W1: delivers nothing to who has closed, and takes nothing from it", async () => {
      const [near, far] = await open();
      far.link.send(frameOf(1, []));
      near.link.close();
      near.link.send(frameOf(2, []));
      far.link.send(frameOf(3, []));
      await closed(near, far);
      near.link.send(frameOf(4, []));
      far.link.send(frameOf(5, []));
      expect(near.messages).toEqual([]);
      expect(far.messages).toEqual([]);
    });

    test("W2: carries tensors without values, or refuses them aloud", async (context) => {
      const [near, far] = await open();
      const frame: Frame = { ...frameOf(1, []), body: [{ byteLength: 80, bytes: null }] };
      if (!subject.carriesHollow) {
        expect(() => near.link.send(frame)).toThrow(/without values/);
        await finish(near, far);
        return context.skip("only bytes leave a process");
      }
      near.link.send(frame);
      await subject.until(() => far.messages.length > 0);
      expect(far.messages[0]?.body).toEqual(frame.body);
      await finish(near, far);
    });
  });
}
