/**
 * The edge of a served run as strangers meet it: refusals in words, roles, limits on
 * what comes before a token, certificates, and revocation.
 */
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, request } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join as joinPath } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { present } from "../../src/base/assert.ts";
import { openAccess } from "../../src/nodejs/access.ts";
import { Gate } from "../../src/nodejs/gate.ts";
import { after } from "../../src/nodejs/host.ts";
import { type EdgeLimits, edgeLimits } from "../../src/nodejs/limits.ts";
import { RunTokens } from "../../src/nodejs/tokens.ts";
import { openWeb, type Web } from "../../src/nodejs/web.ts";
import { administerTokens } from "../../src/nodejs.ts";
import { ObserverHub } from "../../src/run/observe/hub.ts";
import { ask, helloFrame, joinAt, runOf, type ServedRun, serveRun, talk } from "./served-run.ts";

const folder = mkdtempSync(joinPath(tmpdir(), "edgeloom-security-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("a served run", () => {
  let run: ServedRun;
  let origin = "";
  let tokens: RunTokens;
  beforeAll(async () => {
    run = await serveRun(joinPath(folder, "runs"), { devices: 2 });
    origin = run.serving.url.replace(/^ws/, "http");
    // The same key as the server's, to make tokens that it never gave out.
    tokens = new RunTokens(run.path);
  });
  afterAll(async () => {
    run.serving.interrupt("the test is over");
    await run.serving.ended;
  });

  const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });

  it("refuses tokens that do not let their holder join, each in its own words", async () => {
    const refused = async (token: string): Promise<unknown> => {
      const { messages } = await talk(run.serving.url, [helloFrame({ token })]);
      return messages.map((message) =>
        message.type === "refuse" ? [message.reason, message.text] : message.type,
      );
    };
    const mine = present(run.serving.tokens[0], "a token");
    const cases: [token: string, text: RegExp][] = [
      ["guess", /not of this run/],
      [`${mine}x`, /not of this run/],
      [await new RunTokens(null).issue("device", "d0", 7), /not of this run/],
      [await tokens.issueBriefly("device", -60), /has expired on \d{4}-/],
      [await tokens.issueBriefly("observer", 60), /look on as observer, not join/],
      [await tokens.issueBriefly("edge", 60), /not valid for a device/],
    ];
    for (const [token, text] of cases) {
      expect(await refused(token)).toEqual([["token", expect.stringMatching(text)]]);
    }
  });

  it("answers each role what is its own, and says what is needed for the rest", async () => {
    const roles = ["device", "observer", "admin"] as const;
    const asked: [path: string, method: string, body: string | undefined, statuses: number[]][] = [
      ["/api/runs", "GET", undefined, [403, 200, 200]],
      [`/api/runs/${runOf(run)}/files/access.json`, "GET", undefined, [403, 404, 404]],
      ["/api/admin/tokens", "GET", undefined, [403, 403, 200]],
      ["/api/admin/tokens", "POST", '{"role":"owner","label":"x"}', [403, 403, 400]],
      ["/api/admin/revoke", "POST", '{"id":"none"}', [403, 403, 404]],
      ["/api/admin/revoke", "POST", `"${"x".repeat(10_000)}"`, [403, 403, 400]],
      ["/api/admin/interrupt", "POST", "{}", [403, 403, 400]],
      ["/api/admin/interrupt", "DELETE", undefined, [403, 403, 405]],
    ];
    for (const [path, method, body, statuses] of asked) {
      for (const [i, role] of roles.entries()) {
        const { headers } = bearer(await tokens.issueBriefly(role, 60));
        const answer = await ask(origin, path, { method, headers, ...(body ? { body } : {}) });
        expect([path, role, answer.status]).toEqual([path, role, statuses[i]]);
      }
      expect((await ask(origin, path, { method })).status).toBe(401);
    }
    const { body } = await ask(
      origin,
      "/api/admin/tokens",
      bearer(await tokens.issueBriefly("device", 60)),
    );
    expect(body).toBe("the token is one of device; needed: admin\n");
  });

  it("takes no request under another site's name, and no connection from another site's page", async () => {
    const { host } = new URL(origin);
    for (const path of ["/", "/metrics", "/api/runs"]) {
      const answer = await ask(origin, path, { headers: { host: "evil.example" } });
      expect([answer.status, answer.body]).toEqual([
        421,
        "this server is not known as evil.example\n",
      ]);
    }
    const foreign: Record<string, string>[] = [
      { host: "evil.example", origin: "http://evil.example" },
      { host: `evil.example:${new URL(origin).port}` },
      { origin: "http://evil.example" },
      { origin: "null" },
      { origin: `https://${host}.evil.example` },
    ];
    for (const headers of foreign) {
      for (const path of ["/", "/observe"]) {
        const { code, reason } = await talk(run.serving.url + path, [], headers);
        expect([code, reason]).toEqual([1006, expect.stringMatching(/421|403|400/)]);
      }
    }
    const own = await talk(run.serving.url, [helloFrame({})], { origin: `http://${host}` });
    expect(own.messages).toHaveLength(1);
  });

  it("tells browsers to keep to this server, and caches nothing of a run", async () => {
    const { headers } = await ask(origin, "/api/runs");
    expect(headers).toMatchObject({
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "cache-control": "no-store",
      "cross-origin-opener-policy": "same-origin",
    });
    const policy = String(headers["content-security-policy"]);
    for (const part of ["default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"]) {
      expect(policy).toContain(part);
    }
    expect(policy).not.toMatch(/script-src[^;]*unsafe-inline|unsafe-eval/);
  });

  it("gives figures to this machine without a token", async () => {
    const { status, body } = await ask(origin, "/metrics");
    expect(status).toBe(200);
    expect(body).toMatch(/^edgeloom_members\{kind="edge"\} 1$/m);
  });

  it("says nothing of its key, and keeps it from other users", () => {
    const { key } = JSON.parse(readFileSync(joinPath(run.path, "access.json"), "utf8"));
    expect(statSync(joinPath(run.path, "access.json")).mode & 0o077).toBe(0);
    expect(JSON.stringify(run.records)).not.toContain(key);
  });
});

describe("revoking", () => {
  it("closes what the token has opened, and lets a new one in its place", async () => {
    const run = await serveRun(joinPath(folder, "revoking"), { devices: 2 });
    const device = await run.device(0);
    await expect.poll(() => run.records.filter(({ type }) => type === "joined")).toHaveLength(2);
    const { tokens } = await administerTokens(run.path);
    const id = present(tokens.find(({ label }) => label === "d0")?.id, "the token of d0");
    const after = await administerTokens(run.path, { revoke: id });
    expect(after.tokens.find((token) => token.id === id)?.isRevoked).toBe(true);
    // It has come back at once, and was told.
    const refused = {
      reason: "refused",
      refusal: "token",
      text: expect.stringContaining(`been revoked (${id})`),
    };
    expect(await device.ended).toEqual(refused);
    await expect.poll(() => run.records.filter(({ type }) => type === "left")).toHaveLength(1);
    await expect(administerTokens(run.path, { revoke: id })).rejects.toThrow(/no token .* holds/);
    const again = await run.device(0);
    expect(await again.ended).toEqual(refused);
    const { token, server } = await administerTokens(run.path, {
      add: { role: "device", label: "d0" },
    });
    expect(server?.url).toBe(`${run.serving.url}/`);
    const { messages } = await talk(run.serving.url, [
      helloFrame({ token: present(token, "a token"), name: "d0" }),
      // Leaves at once, in words that end the conversation.
      helloFrame({}),
    ]);
    expect(messages[0]?.type).toBe("welcome");
    run.serving.interrupt("done");
    await run.serving.ended;
    // Now the list in the folder is changed, for whoever serves the run again.
    const other = present(tokens.find(({ label }) => label === "d1")?.id, "the token of d1");
    expect((await administerTokens(run.path, { revoke: other })).server).toBeNull();
    const kept = new RunTokens(run.path);
    expect(await kept.check(present(run.serving.tokens[1], "a token"))).toMatchObject({
      ok: false,
    });
  });

  it("tells an admin why there is no new one", async () => {
    const own = await serveRun(joinPath(folder, "gone"), { devices: 1 });
    rmSync(own.path, { recursive: true });
    // What the run still had to write must not bring the folder back.
    writeFileSync(own.path, "");
    const add = { role: "device", label: "d1" } as const;
    await expect(administerTokens(own.serving.adminUrl, { add })).rejects.toThrow(
      /token: got device \(tokens of the run: got .*ENOTDIR/,
    );
    rmSync(own.path);
    own.serving.interrupt("done");
    expect((await own.serving.ended).reason).toBe("failed");
  });

  it("says where nobody answers, and where somebody else does", async () => {
    const other = createServer((_request, response) => response.end("<h1>Hello</h1>"));
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    const address = `http://127.0.0.1:${(other.address() as AddressInfo).port}/#token=none`;
    await expect(administerTokens(address)).rejects.toThrow(
      /server of the run: got .* \(what answers there is no server of a run\); allowed: the address/,
    );
    await new Promise((resolve) => other.close(resolve));
    await expect(administerTokens(address)).rejects.toThrow(/ECONNREFUSED.*; allowed: the address/);
  });

  it("says what it takes where there is no such run", async () => {
    await expect(administerTokens(joinPath(folder, "nothing"))).rejects.toThrow(
      /run: got .*nothing; allowed: the folder of a run that was served/,
    );
  });
});

describe("connections that have shown no token", () => {
  const open: { web: Web; hub: ObserverHub }[] = [];
  afterEach(() => {
    for (const { web } of open.splice(0)) web.close();
  });

  /** A server with these limits that counts the connections it is handed. */
  async function server(
    change: Partial<EdgeLimits>,
  ): Promise<{ url: string; taken: () => number }> {
    const limits = { ...edgeLimits(1), ...change };
    const access = await openAccess({ folder: null, devices: [], tokenDays: 1, reach: undefined });
    const gate = new Gate(access.tokens, limits);
    const hub = new ObserverHub({ live: null, accepts: () => false, after, onWatch: () => {} });
    let taken = 0;
    const web = await openWeb({
      ...access,
      limits,
      gate,
      hub,
      port: null,
      runs: folder,
      live: null,
      interrupt: null,
      desk: null,
      metrics: null,
      onWorker: (socket) => {
        taken++;
        socket.close(4000, "taken");
      },
    });
    open.push({ web, hub });
    return { url: web.url, taken: () => taken };
  }

  it("are closed when they stay silent", async () => {
    const { url, taken } = await server({ silenceMs: 50 });
    for (const path of ["/", "/observe"]) {
      expect(await talk(url + path, [])).toMatchObject({
        code: 1008,
        reason: "no token came in time",
      });
    }
    expect(taken()).toBe(0);
  });

  it("are closed when they say too much, before it is kept", async () => {
    const { url, taken } = await server({ greetingBytes: 4096 });
    const before = process.memoryUsage().rss;
    const big = new Uint8Array(64 * 1024 * 1024);
    const { code, reason } = await talk(url, [big]);
    // The server may close while the client still writes, which then sees its connection end.
    expect([1009, 1006]).toContain(code);
    expect(reason).toMatch(/too much came|EPIPE|ECONNRESET|^$/);
    expect(taken()).toBe(0);
    expect(process.memoryUsage().rss - before).toBeLessThan(4 * big.length);
  });

  it("are few, and others come when these have gone", async () => {
    const { url, taken } = await server({ strangers: 2, silenceMs: 400 });
    const silent = [talk(url, []), talk(url, [])];
    await sleep(100);
    expect(await talk(url, [helloFrame({})])).toMatchObject({
      code: 1013,
      reason: "too many connections wait here: try again later",
    });
    await Promise.all(silent);
    expect(await talk(url, [helloFrame({})])).toMatchObject({ code: 4000 });
    expect(taken()).toBe(1);
  });

  it("do the server no harm where they are one too many and break the protocol", async () => {
    const { url } = await server({ strangers: 0 });
    const asked = request(url.replace(/^ws/, "http"), {
      agent: false,
      headers: {
        connection: "Upgrade",
        upgrade: "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
      },
    }).end();
    const [, socket] = (await once(asked, "upgrade")) as [unknown, Socket];
    // Reserved bits, which no frame may set.
    socket.write(Buffer.from([0xf2, 0x80, 0, 0, 0, 0]));
    await once(socket.resume(), "close");
    expect(await talk(url, [helloFrame({})])).toMatchObject({ code: 1013 });
  });

  it("are few from one address", async () => {
    const { url } = await server({ perAddress: 3, silenceMs: 400 });
    const silent = [talk(url, []), talk(url, []), talk(url, [])];
    await sleep(100);
    expect((await talk(url, [])).reason).toMatch(/socket hang up|ECONNRESET/);
    await Promise.all(silent);
    expect(await talk(url, [helloFrame({})])).toMatchObject({ code: 4000 });
  });
});

describe("a server for other machines", () => {
  const state = joinPath(folder, "state");
  let run: ServedRun;
  beforeAll(async () => {
    run = await serveRun(joinPath(folder, "tls"), {
      devices: 2,
      reach: { host: "0.0.0.0", state, names: ["127.0.0.1"] },
    });
  });
  afterAll(async () => {
    run.serving.interrupt("the test is over");
    await run.serving.ended;
  });
  const joinWith = (url: string, ca?: string) =>
    joinAt(url, {
      token: run.serving.tokens[0] ?? "",
      ...(ca === undefined ? {} : { ca }),
      name: "d0",
    });

  it("trains with devices that know its authority by the fingerprint in the link", async () => {
    expect(run.serving.url).toMatch(/^wss:\/\/127\.0\.0\.1:\d+$/);
    const own = await serveRun(joinPath(folder, "tls-run"), {
      devices: 2,
      reach: { host: "0.0.0.0", state, names: ["127.0.0.1"] },
    });
    // The authority of one user's machine stays the same from run to run.
    expect(own.serving.fingerprint).toBe(run.serving.fingerprint);
    const devices = [await own.device(0), await own.device(1)];
    expect((await own.serving.ended).reason).toBe("finished");
    for (const { ended } of devices) expect((await ended).reason).toBe("finished");
  });

  it("is not believed where the fingerprint is another's, or there is none", async () => {
    const wrong = "A".repeat(43);
    await expect(joinWith(run.serving.url, wrong)).rejects.toThrow(
      /certificate authority of the server: got one with the fingerprint .*; allowed: the one with/,
    );
    await expect(joinWith(run.serving.url)).rejects.toThrow(/unable to (verify|get)|self.signed/);
    await expect(joinWith(run.serving.url, joinPath(folder, "no.pem"))).rejects.toThrow(
      /--ca: got/,
    );
  });

  it("keeps its private keys from other users", () => {
    for (const name of ["ca.pem", "server.pem"]) {
      expect(statSync(joinPath(state, name)).mode & 0o077).toBe(0);
    }
    expect(statSync(state).mode & 0o077).toBe(0);
  });

  it("speaks no plain HTTP, and is told no token over it", async () => {
    const origin = run.serving.url.replace("wss", "http");
    await expect(ask(origin, "/")).rejects.toThrow();
    for (const url of ["ws://192.0.2.1:7070", "http://edge.example/"]) {
      await expect(joinWith(url)).rejects.toThrow(/wss: or https: for another machine/);
    }
  });

  it("asks for both files of a certificate, and for a key that fits", async () => {
    const pem = joinPath(state, "server.pem");
    const other = joinPath(state, "ca.pem");
    const reaches = [
      [{ cert: pem }, /--cert and --key: got --cert alone/],
      [{ cert: pem, key: other }, /--key: got .*the key of another certificate/],
      [{ cert: joinPath(folder, "none"), key: pem }, /--cert: got/],
    ] as const;
    for (const [reach, error] of reaches) {
      const opened = serveRun(joinPath(folder, "cert"), { devices: 1, reach });
      await expect(opened).rejects.toThrow(error);
    }
    const own = await serveRun(joinPath(folder, "cert"), {
      devices: 1,
      reach: { cert: pem, key: pem },
    });
    expect(own.serving.url).toMatch(/^wss:/);
    const socket = new WebSocket(own.serving.url, { ca: readFileSync(other, "utf8") });
    await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
    socket.terminate();
    own.serving.interrupt("done");
    await own.serving.ended;
  });
});
