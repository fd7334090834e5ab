import { describe, expect, it } from "vitest";
import { Lan, networkAt } from "../../../test/lan.ts";
import { present } from "../../base/assert.ts";
import { type Advert, recordsOf, serviceName } from "./advert.ts";
import { type AnnounceState, announce } from "./announce.ts";
import { multicastPort, packetOf } from "./dns.ts";
import { Responder } from "./responder.ts";

const advert: Advert = {
  run: "walk",
  port: 7070,
  protocols: { from: 5, to: 5 },
  ca: null,
  host: null,
};
const peer = { address: "192.0.2.9", port: multicastPort };
const whoIsThere = packetOf("query", { questions: [{ name: serviceName, type: "PTR" }] });

/** A responder at an address, with what it has told. */
function respond(lan: Lan, address = "192.0.2.7") {
  const told: string[] = [];
  let names = 0;
  const responder = new Responder(
    {
      advert,
      network: networkAt(address),
      drawName: () => {
        names++;
        const label = names === 1 ? "walk on laptop" : `walk on laptop (${address} ${names})`;
        return { label, target: `edgeloom-${address.replaceAll(".", "-")}-${names}.local` };
      },
      onAnnounced: (label) => told.push(label),
      onFailure: (text) => told.push(`failed: ${text}`),
    },
    lan.world,
  );
  return { responder, told };
}

describe("a responder (RFC 6762)", () => {
  it("asks three times whether its name is free, then announces all twice", () => {
    const lan = new Lan();
    const { told } = respond(lan);
    lan.run(5000);
    const { sent } = lan;
    expect(sent.map(({ packet }) => packet.type)).toEqual([
      ...Array(3).fill("query"),
      ...Array(2).fill("response"),
    ]);
    expect(sent.map(({ atMs }) => atMs - (sent[0]?.atMs ?? 0))).toEqual([0, 250, 500, 750, 1750]);
    expect(sent[3]?.packet.answers.map(({ type }) => type)).toEqual(["PTR", "SRV", "TXT", "A"]);
    expect(told).toEqual(["walk on laptop"]);
  });

  it("takes another name where its own is in use, or about to be", () => {
    const lan = new Lan();
    const first = respond(lan, "192.0.2.7");
    const second = respond(lan, "192.0.2.8");
    lan.run(5000);
    expect(first.told).toEqual(["walk on laptop"]);
    expect(second.told).toEqual(["walk on laptop (192.0.2.8 2)"]);
    const third = respond(lan, "192.0.2.10");
    lan.run(5000);
    expect(third.told).toEqual(["walk on laptop (192.0.2.10 2)"]);
    expect(first.told).toHaveLength(1);
  });

  it("says at once that its name is in use, also where it has just answered", () => {
    const lan = new Lan();
    respond(lan);
    // Announced at 875 and 1,875 ms.
    lan.run(1900);
    const second = respond(lan, "192.0.2.8");
    lan.run(5000);
    expect(second.told).toEqual(["walk on laptop (192.0.2.8 2)"]);
    const probe = lan.sent.find(
      ({ from, packet }) => from === "192.0.2.8" && packet.type === "query",
    );
    const before = lan.sent.length;
    const claim = { ...present(probe, "a probe").packet };
    const authorities = claim.authorities.map((record) =>
      record.type === "SRV" ? { ...record, name: `walk on laptop.${serviceName}` } : record,
    );
    const questions = [{ name: `walk on laptop.${serviceName}`, type: "ANY" }];
    for (let i = 0; i < 100; i++) {
      lan.say({ ...claim, questions, authorities }, peer);
      lan.run(10);
    }
    expect(lan.sent.slice(before).length).toBe(4);
  });

  it("gives up where somebody claims every name", () => {
    const lan = new Lan();
    const { told } = respond(lan);
    for (let i = 0; i < 200; i++) {
      lan.run(100);
      const probe = lan.sent.at(-1)?.packet.authorities[0];
      if (probe?.type !== "SRV" || !lan.has("192.0.2.7")) continue;
      const claim = { ...probe, data: { ...probe.data, target: "other.local" } };
      lan.say(packetOf("response", { answers: [claim] }), peer);
    }
    expect(told).toEqual(["failed: every name that was tried is taken on lan"]);
    expect(lan.has("192.0.2.7")).toBe(false);
  });

  it("answers all together, once a second at most", () => {
    const lan = new Lan();
    respond(lan);
    lan.run(10_000);
    const before = lan.sent.length;
    for (let i = 0; i < 1000; i++) {
      lan.say(whoIsThere, peer);
      lan.run(5);
    }
    const answers = lan.sent.slice(before);
    expect(answers.length).toBeGreaterThanOrEqual(5);
    expect(answers.length).toBeLessThanOrEqual(6);
    expect(answers[0]?.packet.answers.map(({ type }) => type)).toEqual(["PTR", "SRV", "TXT", "A"]);
    expect(answers[0]?.atMs).toBe(10_070);
  });

  it("answers programs that ask once alone, in plain DNS, and does not let itself be used to flood", () => {
    const lan = new Lan();
    respond(lan);
    lan.run(10_000);
    const before = lan.sent.length;
    const stranger = { address: "192.0.2.9", port: 40_000 };
    for (let i = 0; i < 10; i++) lan.say({ ...whoIsThere, id: 77 }, stranger);
    const answers = lan.sent.slice(before);
    expect(answers).toHaveLength(1);
    const { packet, to } = answers[0] ?? {};
    expect(to).toEqual(stranger);
    expect([packet?.id, packet?.questions]).toEqual([77, whoIsThere.questions]);
    const all = [...(packet?.answers ?? []), ...(packet?.additionals ?? [])];
    expect(all).toHaveLength(4);
    for (const { ttl, flush } of all) expect([ttl, flush]).toEqual([10, false]);
  });

  it("answers nothing before its name is its own, and takes everything back as it ends", () => {
    const lan = new Lan();
    const { responder } = respond(lan);
    lan.run(500);
    lan.say(whoIsThere, peer);
    lan.run(200);
    expect(lan.sent.every(({ packet }) => packet.type === "query")).toBe(true);
    lan.run(5000);
    responder.close();
    expect(lan.sent.at(-1)?.packet.answers.map(({ ttl }) => ttl)).toEqual([0, 0, 0, 0]);
    expect(lan.has("192.0.2.7")).toBe(false);
  });
});

describe("a server's announcement", () => {
  /** Announces in networks that the test changes. */
  function start(lan: Lan, addresses: string[], listensOn = "0.0.0.0") {
    const states: AnnounceState[] = [];
    const announcement = announce(
      {
        advert,
        listensOn,
        onState: (state) => states.push(state),
        networks: () => addresses.map(networkAt),
      },
      lan.world,
    );
    return { announcement, states };
  }

  it("is made in every network that the server listens in, with the address that it has there", () => {
    const lan = new Lan();
    const { states } = start(lan, ["192.0.2.7", "198.51.100.7"]);
    lan.run(2000);
    const addresses = lan.sent.flatMap(({ from, packet }) =>
      packet.answers.flatMap((record) => (record.type === "A" ? [[from, record.data]] : [])),
    );
    expect(new Set(addresses.map(String))).toEqual(
      new Set(["192.0.2.7,192.0.2.7", "198.51.100.7,198.51.100.7"]),
    );
    expect(states).toHaveLength(1);
    expect(states[0]).toMatchObject({ kind: "announced" });
  });

  it("is made where the server listens on one address in that network alone", () => {
    const lan = new Lan();
    start(lan, ["192.0.2.7", "198.51.100.7"], "198.51.100.7");
    lan.run(2000);
    expect(new Set(lan.sent.map(({ from }) => from))).toEqual(new Set(["198.51.100.7"]));
  });

  it("follows networks as they come and go, and says so", () => {
    const lan = new Lan();
    const addresses: string[] = [];
    const { announcement, states } = start(lan, addresses);
    expect(states).toEqual([
      { kind: "silent", text: "it listens on 0.0.0.0, and that is in no IPv4 network now" },
    ]);
    addresses.push("192.0.2.7");
    lan.run(12_000);
    expect(states.at(-1)?.kind).toBe("announced");
    addresses.pop();
    lan.run(12_000);
    expect(states.map(({ kind }) => kind)).toEqual(["silent", "announced", "silent"]);
    addresses.push("198.51.100.7");
    lan.run(12_000);
    announcement.close();
    expect(lan.has("198.51.100.7")).toBe(false);
    const before = lan.sent.length;
    lan.run(60_000);
    expect(lan.sent.length).toBe(before);
  });

  it("that fails is told once in words, and tried again until it works", () => {
    const lan = new Lan();
    const { states } = start(lan, ["192.0.2.7"]);
    for (let i = 0; i < 3; i++) {
      lan.fail("192.0.2.7", "another program keeps UDP port 5353 for itself");
      lan.run(5_000);
    }
    expect(states).toEqual([
      { kind: "silent", text: "another program keeps UDP port 5353 for itself" },
    ]);
    lan.run(3000);
    expect(states.at(-1)?.kind).toBe("announced");
  });

  it("is answered by a cache as it was sent", () => {
    const lan = new Lan();
    start(lan, ["192.0.2.7"]);
    lan.run(2000);
    const answers = lan.sent.at(-1)?.packet.answers ?? [];
    const target = answers.find((record) => record.type === "SRV")?.data.target ?? "";
    const label = answers.find((record) => record.type === "PTR")?.data.split(".")[0] ?? "";
    expect(answers).toEqual(Object.values(recordsOf(advert, { label, target }, "192.0.2.7")));
    expect(target).toMatch(/^edgeloom-[0-9a-f]{8}\.local$/);
  });
});
