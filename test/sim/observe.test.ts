import { describe, expect, it } from "vitest";
import type { RunRecord, TimedRecord } from "../../src/run/metrics/record.ts";
import { ObserverHub, type RecordLog } from "../../src/run/observe/hub.ts";
import { Observer, type ObserverState, type TextLink } from "../../src/run/observe/observer.ts";
import { World } from "../../src/sim/world.ts";

interface MemoryLog extends RecordLog {
  append(timed: TimedRecord): void;
}

function memoryLog(): MemoryLog {
  const texts: string[] = [];
  return {
    get count() {
      return texts.length;
    },
    read: (from, bytesMax) => {
      let bytes = 0;
      const rest = texts.slice(from);
      const to = rest.findIndex((text) => {
        bytes += text.length;
        return bytes > bytesMax;
      });
      return to < 0 ? rest : rest.slice(0, Math.max(1, to));
    },
    append: ({ atMs, record }) => texts.push(JSON.stringify({ atMs, ...record })),
  };
}

/** A link for texts between two ends of one world, one millisecond long. */
function textLinks(world: World): [TextLink & { stall(bytes: number): void }, TextLink] {
  let isOpen = true;
  const make = () => ({
    pendingBytes: 0,
    onText: (_text: string) => {},
    onClose: () => {},
    send: (_text: string) => {},
    close: () => {},
    stall(bytes: number) {
      this.pendingBytes = bytes;
    },
  });
  const ends = [make(), make()] as const;
  const close = (): void => {
    if (!isOpen) return;
    isOpen = false;
    for (const end of ends) world.at(world.now() + 1, () => end.onClose());
  };
  ends.forEach((end, i) => {
    end.close = close;
    end.send = (text) => {
      if (isOpen) world.at(world.now() + 1, () => ends[1 - i]?.onText(text));
    };
  });
  return [ends[0], ends[1]];
}

const round = (number: number): TimedRecord => ({
  atMs: number,
  record: {
    type: "round",
    round: number,
    term: 1,
    learningRate: 0.1,
    ms: 5,
    loss: 1 / (number + 1),
    participants: [],
    dropped: [],
    nodes: [],
  },
});

function served(token = "right") {
  const world = new World();
  const watches: boolean[] = [];
  const newServer = (run: string, log = memoryLog()) => {
    const hub = new ObserverHub({
      live: { run, log },
      accepts: (shown) => shown === "right",
      after: (delayMs, fire) => world.at(world.now() + delayMs, fire),
      onWatch: (isWatched) => watches.push(isWatched),
    });
    const emit = (timed: TimedRecord): void => {
      if (timed.record.type !== "activity") log.append(timed);
      hub.publish(timed);
    };
    return { hub, log, emit };
  };
  const server: { current: ReturnType<typeof newServer> | null } = { current: newServer("one") };
  const runs: string[] = [];
  const seen: RunRecord[] = [];
  const states: ObserverState["kind"][] = [];
  const refusals: string[] = [];
  const links: (TextLink & { stall(bytes: number): void })[] = [];
  const observe = () =>
    new Observer(
      {
        after: (delayMs, fire) => world.at(world.now() + delayMs, fire),
        connect(onOpen) {
          const [near, far] = textLinks(world);
          const { current } = server;
          if (current === null) world.at(world.now() + 1, () => far.onClose());
          else {
            links.push(near);
            current.hub.accept(near);
            world.at(world.now() + 1, onOpen);
          }
          return far;
        },
      },
      token,
      {
        onRun: (run) => {
          runs.push(run);
          seen.length = 0;
        },
        onRecords: (records) => seen.push(...records.map(({ record }) => record)),
        onState: (state) => {
          states.push(state.kind);
          if (state.kind === "refused") refusals.push(state.text);
        },
      },
    );
  const until = (ms: number) => world.run(() => world.now() >= ms);
  const tick = (ms: number) => {
    world.at(ms, () => {});
    return until(ms);
  };
  const rounds = (): number[] =>
    seen.flatMap((record) => (record.type === "round" ? [record.round] : []));
  return {
    world,
    server,
    newServer,
    observe,
    runs,
    seen,
    rounds,
    states,
    refusals,
    watches,
    links,
    tick,
  };
}

describe("observing a run", () => {
  it("brings an observer who comes late everything from the start, then what is new", async () => {
    const at = served();
    for (let i = 0; i < 3; i++) at.server.current?.emit(round(i));
    at.observe();
    await at.tick(10);
    expect(at.rounds()).toEqual([0, 1, 2]);
    at.server.current?.emit(round(3));
    await at.tick(200);
    expect(at.rounds()).toEqual([0, 1, 2, 3]);
    expect(at.states).toEqual(["connecting", "watching"]);
  });

  it("sends many records within a moment in one message", async () => {
    const at = served();
    at.observe();
    await at.tick(10);
    const texts: string[] = [];
    const link = at.links[0];
    const send = link?.send;
    if (link && send) {
      link.send = (text) => {
        texts.push(text);
        send(text);
      };
    }
    for (let i = 0; i < 40; i++) at.server.current?.emit(round(i));
    await at.tick(300);
    expect(at.rounds()).toHaveLength(40);
    expect(texts).toHaveLength(1);
  });

  it("goes on where it was when the connection comes back, with nothing twice", async () => {
    const at = served();
    for (let i = 0; i < 2; i++) at.server.current?.emit(round(i));
    at.observe();
    await at.tick(100);
    at.links[0]?.close();
    at.server.current?.emit(round(2));
    await at.tick(5_000);
    expect(at.rounds()).toEqual([0, 1, 2]);
    expect(at.runs).toEqual(["one"]);
    expect(at.states).toEqual(["connecting", "watching", "lost", "connecting", "watching"]);
  });

  it("begins anew when another run is served at the same address", async () => {
    const at = served();
    at.server.current?.emit(round(0));
    at.observe();
    await at.tick(100);
    at.server.current?.hub.close();
    at.server.current = null;
    await at.tick(3_000);
    expect(at.states.at(-1)).toBe("lost");
    at.server.current = at.newServer("two");
    at.server.current.emit(round(7));
    await at.tick(20_000);
    expect(at.runs).toEqual(["one", "two"]);
    expect(at.rounds()).toEqual([7]);
  });

  it("is refused with a wrong token, sees nothing, and does not ask again", async () => {
    const at = served("wrong");
    at.server.current?.emit(round(0));
    at.observe();
    await at.tick(60_000);
    expect(at.refusals).toEqual(["the token is not of this server: open the link it printed"]);
    expect(at.seen).toEqual([]);
    expect(at.watches).toEqual([]);
    expect(at.links).toHaveLength(1);
  });

  it("tells the run when the first observer comes and the last one leaves", async () => {
    const at = served();
    const first = at.observe();
    const second = at.observe();
    await at.tick(100);
    first.close();
    await at.tick(200);
    expect(at.watches).toEqual([true]);
    second.close();
    await at.tick(300);
    expect(at.watches).toEqual([true, false]);
  });

  it("keeps no queue for an observer who does not read, who catches up later", async () => {
    const at = served();
    at.observe();
    await at.tick(100);
    const link = at.links[0];
    link?.stall(5_000_000);
    for (let i = 0; i < 500; i++) at.server.current?.emit(round(i));
    await at.tick(2_000);
    expect(at.rounds()).toEqual([]);
    link?.stall(0);
    await at.tick(3_000);
    expect(at.rounds()).toHaveLength(500);
  });

  it("ends a connection that shows no token, and one that says more", async () => {
    const at = served();
    const [silent, silentFar] = textLinks(at.world);
    let closed = 0;
    silentFar.onClose = () => closed++;
    at.server.current?.hub.accept(silent);
    await at.tick(9_000);
    expect(closed).toBe(0);
    await at.tick(11_000);
    expect(closed).toBe(1);
    at.observe();
    await at.tick(11_100);
    at.links[0]?.onText('{"type":"observe"}');
    await at.tick(11_200);
    expect(at.states).toContain("refused");
  });
});
