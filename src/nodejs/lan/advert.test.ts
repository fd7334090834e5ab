import { expect, it } from "vitest";
import {
  type Advert,
  answerTo,
  isTaken,
  labelIn,
  labelOf,
  readTexts,
  recordsOf,
  serviceName,
} from "./advert.ts";
import { packetOf } from "./dns.ts";

const ca = "ogaVtDRkGI1zt5lAuhvMCvomvMgXF19tLBgqgfuJiJU";
const advert: Advert = {
  run: "walk-1.5",
  port: 7070,
  protocols: { from: 5, to: 6 },
  ca,
  host: null,
};
const name = { label: "walk-1-5 on laptop", target: "edgeloom-1234.local" };
const records = recordsOf(advert, name, "192.0.2.7");
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const own = `walk-1-5 on laptop.${serviceName}`;

it("what a server tells of itself is read back, and is nothing else", () => {
  const { port, ...rest } = advert;
  expect(readTexts(records.txt.data)).toEqual(rest);
  expect(records.srv.data.port).toBe(port);
  expect(records.txt.data.map((text) => new TextDecoder().decode(text))).toEqual([
    "txtvers=1",
    "run=walk-1.5",
    "protocol=5-6",
    `ca=${ca}`,
  ]);
});

it("a name is one part of at most 63 bytes, without dots and what terminals would obey", () => {
  expect(labelOf("run.v2", "laptop.example.org")).toBe("run-v2 on laptop");
  expect(labelOf("a\u001b[2Jb\u202e", "c")).toBe("a[2Jb on c");
  const long = labelOf("é".repeat(80), "laptop", " (beef)");
  expect(bytes(long).length).toBe(63);
  expect(long).toMatch(/^é+ \(beef\)$/);
  expect(labelIn(`${long}.${serviceName}`)).toBe(long);
});

it.each([
  ["no name before the service", serviceName],
  ["a name of several parts", `a.b.${serviceName}`],
  ["another service", "a._ipp._tcp.local"],
  ["characters that terminals obey", `a\u001b[2J.${serviceName}`],
  ["more bytes than a part has", `${"é".repeat(32)}.${serviceName}`],
])("no server is read from %s", (_what, text) => expect(labelIn(text)).toBeNull());

it("strings of another kind are no server's", () => {
  const good = ["txtvers=1", "run=r", "protocol=5-5"];
  const read = (...texts: string[]) => readTexts(texts.map(bytes));
  expect(read(...good)).toEqual({
    run: "r",
    protocols: { from: 5, to: 5 },
    ca: null,
    host: null,
  });
  expect(read(...good, "RUN=second", "unknown=1", "flag", "=x")?.run).toBe("r");
  expect(read(...good, "host=train.example.org")?.host).toBe("train.example.org");
  expect(read("txtvers=2", ...good.slice(1))).toBeNull();
  expect(read("txtvers=1", "protocol=5-5")).toBeNull();
  expect(read("txtvers=1", "run=a\u001b[2J", "protocol=5-5")).toBeNull();
  expect(read("txtvers=1", "run=r", "protocol=five")).toBeNull();
  expect(read(...good, "ca=short")).toBeNull();
  expect(read(...good, "host=a b")).toBeNull();
  expect(read(...good, "host=user@evil")).toBeNull();
  for (const address of ["127.0.0.1", "999.999", "2130706433", "0x7f.1", "::1"]) {
    expect(read(...good, `host=${address}`)).toBeNull();
  }
  expect(readTexts([new Uint8Array([0xff, 0xfe])])).toBeNull();
});

it("who asks who is there gets all at once, and in any case of letters", () => {
  const questions = [{ name: serviceName.toUpperCase(), type: "PTR" }];
  const answer = answerTo(packetOf("query", { questions }), records);
  expect(answer?.answers).toEqual([records.ptr]);
  expect(answer?.additionals).toEqual([records.srv, records.txt, records.a]);
});

it("what whoever asks knows already is not told again, until half of its time is over", () => {
  const questions = [{ name: serviceName, type: "PTR" }];
  const answer = (ttl: number) =>
    answerTo(packetOf("query", { questions, answers: [{ ...records.ptr, ttl }] }), records);
  expect(answer(records.ptr.ttl / 2)).toBeNull();
  expect(answer(records.ptr.ttl / 2 - 1)?.answers).toEqual([records.ptr]);
});

it("names, addresses and kinds of services are asked for one by one, too", () => {
  const ask = (asked: string, type: string) =>
    answerTo(packetOf("query", { questions: [{ name: asked, type }] }), records);
  expect(ask(own, "SRV")?.answers).toEqual([records.srv]);
  expect(ask(own, "SRV")?.additionals).toEqual([records.a]);
  expect(ask(own, "ANY")?.answers).toEqual([records.srv, records.txt]);
  expect(ask(name.target, "A")?.answers).toEqual([records.a]);
  expect(ask("_services._dns-sd._udp.local", "PTR")?.answers).toMatchObject([
    { data: serviceName },
  ]);
  expect(ask("_ipp._tcp.local", "PTR")).toBeNull();
  expect(ask(name.target, "AAAA")).toBeNull();
});

it("a name is taken where another machine has it, and not by what one has said oneself", () => {
  const other = recordsOf(advert, { ...name, target: "other.local" }, "192.0.2.8");
  expect(isTaken(packetOf("query", { authorities: [records.srv] }), records)).toBe(false);
  expect(isTaken(packetOf("query", { authorities: [other.srv] }), records)).toBe(true);
  expect(isTaken(packetOf("response", { answers: [other.srv] }), records)).toBe(true);
});
