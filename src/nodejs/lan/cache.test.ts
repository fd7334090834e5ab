import fc from "fast-check";
import { expect, it } from "vitest";
import { recordsOf, serviceName } from "./advert.ts";
import { ServerCache } from "./cache.ts";
import { type DnsRecord, packetOf, readPacket } from "./dns.ts";

const sender = "192.0.2.7";

/** The records of a server, as one packet. */
function packetFrom(label: string, change: { port?: number; address?: string; ttl?: number } = {}) {
  const { port = 7070, address = sender, ttl } = change;
  const advert = { run: "r", port, protocols: { from: 5, to: 5 }, ca: null, host: null };
  const records = Object.values(recordsOf(advert, { label, target: `${label}.local` }, address));
  return packetOf("response", {
    answers: records.map((record) => (ttl === undefined ? record : { ...record, ttl })),
  });
}

const namesIn = (cache: ServerCache, nowMs: number): string[] =>
  cache.servers(nowMs).map((server) => server.name);

it("a server is known from when it is heard until it says goodbye", () => {
  const cache = new ServerCache();
  cache.add(packetFrom("a"), sender, 1000);
  cache.add(packetFrom("a"), sender, 2000);
  expect(cache.servers(3000)).toEqual([
    {
      name: "a",
      run: "r",
      urls: ["wss://192.0.2.7:7070"],
      protocols: { from: 5, to: 5 },
      ca: null,
      seenSince: 1000,
    },
  ]);
  cache.add(packetFrom("a", { ttl: 0 }), sender, 4000);
  expect(cache.servers(4000)).toEqual([]);
});

it("a server that is heard no more is forgotten when its address expires", () => {
  const cache = new ServerCache();
  cache.add(packetFrom("a"), sender, 0);
  expect(namesIn(cache, 119_999)).toEqual(["a"]);
  expect(namesIn(cache, 120_000)).toEqual([]);
  // Its name holds for longer: it is asked whether it is still there.
  expect(cache.query(120_000).questions).toContainEqual({ name: `a.${serviceName}`, type: "ANY" });
});

it("records come together from several packets, and what is missing is asked for", () => {
  const cache = new ServerCache();
  const [ptr, srv, txt, a] = packetFrom("a").answers as [
    DnsRecord,
    DnsRecord,
    DnsRecord,
    DnsRecord,
  ];
  const hear = (...answers: DnsRecord[]) => cache.add(packetOf("response", { answers }), sender, 0);
  hear(ptr);
  expect(cache.query(0).questions[1]).toEqual({ name: `a.${serviceName}`, type: "ANY" });
  hear(srv, txt);
  expect(cache.query(0).questions[1]).toEqual({ name: "a.local", type: "A" });
  expect(namesIn(cache, 0)).toEqual([]);
  hear(a);
  expect(namesIn(cache, 0)).toEqual(["a"]);
  const { questions, answers } = cache.query(1000);
  expect(questions).toEqual([{ name: serviceName, type: "PTR" }]);
  expect(answers).toEqual([{ ...ptr, ttl: 4499 }]);
});

it("a server that has moved is known by its new address alone", () => {
  const cache = new ServerCache();
  const advert = { run: "r", port: 7, protocols: { from: 5, to: 5 }, ca: null, host: null };
  const hear = (target: string, address: string): void => {
    const answers = Object.values(recordsOf(advert, { label: "a", target }, address));
    cache.add(packetOf("response", { answers }), address, 0);
  };
  hear("one.local", "192.0.2.7");
  hear("two.local", "192.0.2.8");
  expect(cache.servers(0).map(({ urls }) => urls)).toEqual([["wss://192.0.2.8:7"]]);
});

it.each(["127.0.0.1", "0.0.0.0", "224.0.0.251", "255.255.255.255"])(
  "nobody can send others to %s, which is no other machine",
  (address) => {
    const cache = new ServerCache();
    cache.add(packetFrom("a", { address }), sender, 0);
    expect(namesIn(cache, 0)).toEqual([]);
  },
);

it("a machine that talks to itself may name its own address", () => {
  const cache = new ServerCache();
  cache.add(packetFrom("a", { address: "127.0.0.1" }), "127.0.0.1", 0);
  expect(namesIn(cache, 0)).toEqual(["a"]);
});

it("who floods the network with servers and addresses fills what is kept, and no more", () => {
  const cache = new ServerCache();
  for (let i = 0; i < 1000; i++) cache.add(packetFrom(`s${i}`), sender, 0);
  expect(cache.servers(0)).toHaveLength(64);
  for (let i = 0; i < 100; i++) cache.add(packetFrom("s1", { address: `192.0.2.${i}` }), sender, 0);
  expect(cache.servers(0)[1]?.urls).toHaveLength(8);
  const { questions, answers } = cache.query(0);
  expect(questions.length + answers.length).toBeLessThanOrEqual(33);
});

it("no lifetime that others claim keeps a server for longer than 75 minutes", () => {
  const cache = new ServerCache();
  cache.add(packetFrom("a", { ttl: 2 ** 32 - 1 }), sender, 0);
  expect(namesIn(cache, 4_499_000)).toEqual(["a"]);
  expect(namesIn(cache, 4_500_000)).toEqual([]);
});

it("whatever a packet holds, reading and keeping it ends well", () => {
  const cache = new ServerCache();
  const name = fc.oneof(
    fc.constantFrom(serviceName, `a.${serviceName}`, "a.local", "__proto__", "constructor"),
    fc.string(),
  );
  const data = fc.oneof(
    name,
    fc.array(fc.uint8Array()),
    fc
      .tuple(fc.stringMatching(/^[0-9a-zA-Z.-]{1,20}$/), fc.string())
      .map(([host, run]) =>
        ["txtvers=1", `run=${run}`, "protocol=1-2", `host=${host}`].map((text) =>
          new TextEncoder().encode(text),
        ),
      ),
    fc.record({ port: fc.integer(), target: name }),
    fc.constantFrom(null, undefined, 0, Number.NaN, "1.2.3.4", {}),
  );
  const type = fc.constantFrom("PTR", "SRV", "TXT", "A", "AAAA", "OPT", "UNKNOWN_7");
  const record = fc.record(
    { name, type, data, ttl: fc.oneof(fc.nat(), fc.double()) },
    { requiredKeys: [] },
  );
  const section = fc.array(fc.oneof(record, fc.anything()), { maxLength: 100 });
  const packet = fc.record({
    type: fc.constantFrom("query", "response"),
    id: fc.nat(),
    questions: section,
    answers: section,
    authorities: section,
    additionals: section,
  });
  fc.assert(
    fc.property(fc.oneof(packet, fc.anything()), (value) => {
      const read = readPacket(value);
      if (read === null) return;
      expect(read.answers.length).toBeLessThanOrEqual(64);
      cache.add(read, sender, 0);
      cache.query(0);
      for (const { urls } of cache.servers(0)) urls.map((url) => new URL(url));
    }),
  );
});
