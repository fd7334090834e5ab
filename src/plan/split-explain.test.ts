import { describe, expect, test } from "vitest";
import {
  edgeServer,
  evenProfile,
  fleetNode,
  narrowingSegments,
  planRequest,
} from "../../test/fleets.ts";
import type { PlanRequest } from "./plan.ts";
import { explainSplit } from "./split-explain.ts";

// Features of 4000, 2000, 400, 40, 4 bytes.
const segments = narrowingSegments(1000, 500, 100, 10, 1);
const quick = edgeServer(evenProfile(5, 0.01));
const answerTo = (start: string, request: PlanRequest): string =>
  explainSplit(request).find(({ question }) => question.startsWith(start))?.answer ?? "";

describe("what decides a round of parallel split learning", () => {
  test("twice the bandwidth halves a round that only sends", () => {
    const nodes = [
      quick,
      fleetNode("a", evenProfile(5, 0.001)),
      fleetNode("b", evenProfile(5, 0.001)),
    ];
    const request = planRequest(segments, nodes, 10, { work: 10 });
    expect(answerTo("What would twice the bandwidth buy", request)).toMatch(
      /^(49|50) % of a round/,
    );
    expect(answerTo("Which device", request)).toMatch(/^none alone/);
    expect(answerTo("What would a server", request)).toBe("nothing: it has time to spare");
  });

  test("a slow device decides where the link is wide, and more bandwidth buys nothing", () => {
    const nodes = [
      quick,
      fleetNode("fast", evenProfile(5, 1)),
      fleetNode("slow", evenProfile(5, 50)),
    ];
    const request = planRequest(segments, nodes, 1e6, { work: 10 });
    expect(answerTo("What would twice the bandwidth buy", request)).toBe(
      "nothing: computing decides the round",
    );
    expect(answerTo("Which device", request)).toBe(
      "slow: at twice its speed a round would take 250 ms instead of 500 ms",
    );
  });

  test("a full server is what a faster one would help", () => {
    const slowServer = edgeServer(evenProfile(5, 10));
    const nodes = [
      slowServer,
      fleetNode("a", evenProfile(5, 1)),
      fleetNode("b", evenProfile(5, 1)),
    ];
    const answer = answerTo("What would a server", planRequest(segments, nodes, 1e6, { work: 10 }));
    expect(answer).toMatch(/^\d+ % of a round: \d+ ms instead of \d+ ms$/);
  });

  test("says what the privacy floor costs that there is, and what others would", () => {
    const nodes = [quick, fleetNode("a", evenProfile(5, 10))];
    const request = planRequest(segments, nodes, 1e6, { work: 10 });
    expect(answerTo("What does the privacy floor", request)).toBe(
      "nothing: devices keep the first segment at least, so that raw data stay at home",
    );
    // 10 ms a segment, 10 batches.
    expect(answerTo("What would a floor of 2", request)).toMatch(/^99 %: a round of 200 ms$/);
    const floored = { ...request, split: { cutMin: 3 } };
    expect(answerTo("What does the privacy floor", floored)).toMatch(
      /^devices keep 3 segments at least, which costs 199 %: without it a round would take 10[01] ms/,
    );
  });

  test("says what the server's copies cost in memory and in time, and what the others would", () => {
    const devices = ["a", "b", "c"].map((name) => fleetNode(name, evenProfile(5, 10)));
    const request = planRequest(segments, [quick, ...devices], 1e6, { work: 10 });
    // Sessions are 35 MB each; all devices have cut 1.
    expect(answerTo("What do the server's copies", request)).toMatch(
      /^one for each device: 105 MB of the server's memory and a round of 101 ms; one that all devices share: 35.0 MB of the server's memory and a round of 101 ms$/,
    );
    const shared = { ...request, split: { serverCopies: "shared" as const } };
    expect(answerTo("What do the server's copies", shared)).toMatch(
      /^one that all devices share: 35.0 MB .*; one for each device: 105 MB /,
    );
    const atHome = { ...request, split: { labels: "at-home" as const } };
    expect(answerTo("What do the server's copies", atHome)).toBe("");
  });

  test("says what labels at home cost, and what codecs would buy", () => {
    const nodes = [quick, fleetNode("a", evenProfile(5, 10))];
    const request = planRequest(segments, nodes, 1e6, { work: 10 });
    // The end is one more segment of 10 ms.
    expect(answerTo("What would labels at home", request)).toMatch(/^99 %: a round of 200 ms$/);
    const atHome = { ...request, split: { labels: "at-home" as const } };
    expect(answerTo("What do labels at home", atHome)).toMatch(
      /^99 %: with labels at the server a round would take 100 ms$/,
    );
    expect(answerTo("What would a server", atHome)).toBe("nothing: it has time to spare");
    expect(answerTo("What would codecs buy", request)).toBe(
      "nothing: nothing that travels decides",
    );
    const real = segments.map((cost) => ({ ...cost, forwardFlops: 1e8, backwardFlops: 2e8 }));
    expect(
      answerTo("What would codecs buy", {
        ...request,
        segments: real,
        fleet: { ...request.fleet, cellBytesPerMs: 1 },
      }),
    ).toMatch(/^6.8 % of a round: 6.0 s instead of 6.5 s$/);
  });
});
