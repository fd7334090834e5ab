import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { type PageServing, type RunListing, servePage } from "../../src/nodejs.ts";
import { edgeloom } from "./processes.ts";

/** Past runs as they may lie about: whole, of version 1 and half written, and no run at all. */
const folder = mkdtempSync(join(tmpdir(), "edgeloom-web-"));
const runs = join(folder, "runs");

const round = (number: number, node: object = {}) => ({
  atMs: 1000 * (number + 1),
  type: "round",
  round: number,
  term: 1,
  learningRate: 0.1,
  ms: 900,
  loss: 1 / (number + 1),
  participants: [],
  dropped: [],
  nodes: [
    {
      node: "phone",
      computeMs: 100,
      busyMs: 400,
      dutyAchieved: 0.25,
      bytesUp: 1000,
      bytesDown: 2000,
      peakRssBytes: 5e7,
      ...node,
    },
  ],
});
const joined = {
  atMs: 3,
  type: "joined",
  node: "phone",
  name: "phone",
  kind: "device",
  duty: 0.25,
  memoryBytes: null,
  ceilingBytesPerMs: null,
  samples: 500,
  engine: "none",
};
const started = {
  atMs: 1,
  type: "run",
  run: "x",
  seed: 4,
  rounds: 3,
  batch: 8,
  parameters: 10,
  segments: ["fc1", "fc2"],
};
const version2 = { version: 2, name: "small", model: "mlp", planner: "local", localBatches: 2 };
const whole = [
  {
    atMs: 0,
    type: "environment",
    edgeloom: "0.1.0",
    runtime: "Node.js 24",
    platform: "linux x64",
    cores: 2,
    startedAt: "2026-01-02T03:04:05.000Z",
    command: "edgeloom demo --seed 4",
  },
  { ...started, ...version2 },
  joined,
  round(0),
  round(1),
  {
    atMs: 2500,
    type: "evaluation",
    round: 2,
    samples: 50,
    accuracy: 0.75,
    loss: 0.4,
    ms: 3,
    final: true,
  },
  { atMs: 2600, type: "ended", reason: "finished", text: "2 rounds", rounds: 2 },
];

function writeRun(name: string, records: readonly object[], rest = ""): void {
  mkdirSync(join(runs, name), { recursive: true });
  const text = records.map((record) => `${JSON.stringify(record)}\n`).join("");
  writeFileSync(join(runs, name, "records.jsonl"), text + rest);
}

let serving: PageServing;
let origin = "";
let token = "";

beforeAll(async () => {
  writeRun("2026-01-02-whole", whole);
  writeRun("2025-01-01-old", [{ ...started, version: 1 }, joined, round(0)], '{"atMs":9,"ty');
  mkdirSync(join(runs, "no-run"));
  writeFileSync(join(runs, "2026-01-02-whole", "secret.txt"), "secret");
  writeFileSync(join(folder, "records.jsonl"), "above");
  serving = await servePage({ runs, port: null });
  const url = new URL(serving.pageUrl);
  origin = url.origin;
  token = url.hash.replace("#token=", "");
});

afterAll(() => {
  serving.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A request with its path exactly as written, which `fetch` would tidy up. */
function get(
  path: string,
  shown: string | null = token,
): Promise<{ status: number; body: string }> {
  const headers = shown === null ? {} : { authorization: `Bearer ${shown}` };
  return new Promise((resolve, reject) => {
    const asked = request(origin, { path, headers }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        body += chunk;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
    });
    asked.on("error", reject).end();
  });
}

describe("the web server", () => {
  it("lists runs newest first, whatever state they are in, with notes on what is missing", async () => {
    const { status, body } = await get("/api/runs");
    expect(status).toBe(200);
    const { live, runs: listed } = JSON.parse(body) as { live: null; runs: RunListing[] };
    expect(live).toBeNull();
    expect(listed.map(({ run }) => run)).toEqual(["2026-01-02-whole", "2025-01-01-old"]);
    expect(listed[0]).toMatchObject({ accuracy: 0.75, rounds: 2, roundsAsked: 3, notes: [] });
    expect(listed[1]).toMatchObject({ rounds: 1, end: null, accuracy: null });
    expect(listed[1]?.notes.join("; ")).toMatch(/older Edgeloom.*half written/);
  });

  it("hands out the files of a run, and no others", async () => {
    const records = await get("/api/runs/2026-01-02-whole/files/records.jsonl");
    expect(records.body).toBe(
      readFileSync(join(runs, "2026-01-02-whole", "records.jsonl"), "utf8"),
    );
    for (const path of [
      "/api/runs/2026-01-02-whole/files/secret.txt",
      "/api/runs/2026-01-02-whole/files/..%2f..%2frecords.jsonl",
      "/api/runs/../files/records.jsonl",
      "/api/runs/..%2f/files/records.jsonl",
      "/api/runs/%2e%2e/records",
      "/api/runs/no-run/records",
      "/api/runs/2026-01-02-whole/files/model.onnx",
      "/..%2f..%2fpackage.json",
      "/%",
    ]) {
      const { status, body } = await get(path);
      expect([path, status]).toEqual([path, 404]);
      expect(body).not.toMatch(/secret|above/);
    }
  });

  it("answers nothing about runs without its token", async () => {
    for (const shown of [null, "wrong", `${token}x`]) {
      for (const path of ["/api/runs", "/api/runs/2026-01-02-whole/records"]) {
        expect((await get(path, shown)).status).toBe(401);
      }
    }
  });

  it("tells an observer that no run is under way, once it has shown its token", async () => {
    const answers = async (shown: string): Promise<unknown> => {
      const socket = new WebSocket(`${origin.replace("http", "ws")}/observe`);
      socket.on("open", () => {
        const message = { type: "observe", protocol: 1, token: shown, run: null, from: 0 };
        socket.send(JSON.stringify(message));
      });
      const text = await new Promise((resolve) => socket.once("message", (data) => resolve(data)));
      socket.close();
      return (JSON.parse(String(text)) as { reason: string }).reason;
    };
    expect(await answers(token)).toBe("no run");
    expect(await answers("wrong")).toBe("token");
  });

  it("takes no workers where there is no coordinator", async () => {
    const socket = new WebSocket(origin.replace("http", "ws"));
    const error = await new Promise<Error>((resolve) => socket.once("error", resolve));
    expect(error.message).toContain("404");
  });
});

describe("edgeloom runs", () => {
  it("lists what the page lists", async () => {
    const { code, stdout } = await edgeloom(["runs", "--runs", runs]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/2026-01-02-whole +mlp +1 +2\/3 +75\.00 %.*finished/);
    expect(stdout).toMatch(/2025-01-01-old.*no end recorded; written by an older Edgeloom/);
  });

  it("opens one with its facts, compares two, and prints CSV", async () => {
    const one = await edgeloom(["runs", "2026-01-02-whole", "--runs", runs]);
    expect(one.stdout).toMatch(/accuracy +75\.00 %/);
    expect(one.stdout).toMatch(/again with +edgeloom demo --seed 4/);
    const two = await edgeloom(["runs", "2026-01-02-whole", "2025-01-01-old", "--runs", runs]);
    expect(two.stdout).toMatch(/accuracy +75\.00 % +-/);
    const csv = await edgeloom(["runs", "2025-01-01-old", "--csv", "--runs", runs]);
    expect(csv.stdout.split("\r\n")).toHaveLength(3);
    expect(csv.stdout).toMatch(/^1,1000,1,900,0\.1,1,,,phone,100,/m);
  });

  it("says where it looked when a run is not there", async () => {
    const { code, stderr } = await edgeloom(["runs", "nothing", "--runs", runs]);
    expect(code).toBe(2);
    expect(stderr).toContain("nothing");
    expect(stderr).toContain("see edgeloom runs");
  });
});

describe("edgeloom watch", () => {
  it("refuses an address without a token, and says what it takes", async () => {
    const { code, stderr } = await edgeloom(["watch", "http://127.0.0.1:7070"]);
    expect(code).toBe(2);
    expect(stderr).toContain("#token=");
  });

  it("ends when the server does not know the token, or has no run", async () => {
    const wrong = await edgeloom(["watch", `${origin}/#token=wrong`]);
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining("not of this server")]);
    const idle = await edgeloom(["watch", serving.pageUrl]);
    expect([idle.code, idle.stderr]).toEqual([2, expect.stringContaining("no run is under way")]);
  });
});
