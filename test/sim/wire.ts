/** Two channels over a simulated link, for tests of what is between them. */
import type { Frame, Host, Link } from "../../src/run/host.ts";
import { Channel, type ChannelHandlers } from "../../src/run/wire/channel.ts";
import { decodeWorkerFrame, frameBytes } from "../../src/run/wire/frame.ts";
import type { WorkerMessage } from "../../src/run/wire/messages.ts";
import { type SimLinkOptions, simLinks } from "../../src/sim/link.ts";
import { World } from "../../src/sim/world.ts";

export interface Heard {
  readonly atMs: number;
  readonly message: WorkerMessage;
  readonly frame: Frame;
}

/** A host that has time and nothing else. */
export const timeOf = (world: World, timersLateMs = 0): Host =>
  ({
    now: () => world.now(),
    after: (delayMs: number, fire: () => void) =>
      world.at(world.now() + delayMs + timersLateMs, fire),
  }) as Host;

/** One channel, and what it has heard. */
export function openChannel(
  host: Host,
  link: Link,
  handlers: Partial<ChannelHandlers<WorkerMessage>> = {},
) {
  const heard: Heard[] = [];
  const closed: string[] = [];
  const channel = new Channel<WorkerMessage>(host, link, {
    decode: decodeWorkerFrame,
    onMessage: ({ message }, frame) => heard.push({ atMs: host.now(), message, frame }),
    onClose: (reason) => closed.push(reason),
    ...handlers,
  });
  return { channel, heard, closed };
}

/** Bytes of every message that one end of a link sends, in order. */
function watchSending(link: Link): { bytes: number; head: Uint8Array }[] {
  const sent: { bytes: number; head: Uint8Array }[] = [];
  const { send } = link;
  link.send = (message) => {
    sent.push({ bytes: frameBytes(message), head: message.head.slice() });
    send.call(link, message);
  };
  return sent;
}

/** Two ends in one world. */
export function channelPair(
  link: Partial<SimLinkOptions> = {},
  handlers: {
    near?: Partial<ChannelHandlers<WorkerMessage>>;
    far?: Partial<ChannelHandlers<WorkerMessage>>;
  } = {},
) {
  const world = new World();
  const host = timeOf(world);
  const [nearLink, farLink] = simLinks(world, { latencyMs: 0, bytesPerMs: null, ...link });
  const sent = watchSending(nearLink);
  const near = openChannel(host, nearLink, handlers.near);
  const far = openChannel(host, farLink, handlers.far);
  const runUntil = (ms: number) => world.run(() => world.now() >= ms);
  return { world, host, near, far, nearLink, farLink, sent, runUntil };
}
