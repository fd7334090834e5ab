/**
 * Noise at the edge of a served run: bytes that are no HTTP, requests that never end,
 * WebSockets that say what nobody should. The server answers in kind or hangs up, and
 * a run of honest devices beside it finishes as if it were alone.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, expect, it } from "vitest";
import { WebSocket } from "ws";
import { type Random, random } from "../../src/base/random.ts";
import { RunTokens } from "../../src/nodejs/tokens.ts";
import { ask, helloFrame, type ServedRun, serveRun } from "./served-run.ts";

const seed = Number(process.env.EDGELOOM_SEED ?? 5);
const attacks = Number(process.env.EDGELOOM_FUZZ ?? 400);
const atOnce = 20;
const rounds = 400;
const folder = mkdtempSync(join(tmpdir(), "edgeloom-edge-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const randomBytes = (draw: Random, length: number): Buffer =>
  Buffer.from(Uint8Array.from({ length }, () => draw.below(256)));

/** A copy with some bytes changed, cut off or repeated. */
function damaged(draw: Random, bytes: Uint8Array): Buffer {
  const copy = Buffer.from(bytes);
  for (let i = draw.below(8); i >= 0; i--) copy[draw.below(copy.length)] = draw.below(256);
  const cut = draw.below(4) === 0 ? copy.subarray(0, draw.below(copy.length)) : copy;
  return draw.below(8) === 0 ? Buffer.concat([cut, cut]) : cut;
}

/** Writes the parts one after the other, and waits until the server hangs up or is left alone. */
function raw(port: number, parts: readonly Buffer[], patienceMs = 300): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    let answer = "";
    const leave = setTimeout(() => socket.destroy(), patienceMs);
    socket.on("data", (chunk) => {
      if (answer.length < 4096) answer += chunk.toString("latin1");
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      clearTimeout(leave);
      resolve(answer);
    });
    for (const part of parts) socket.write(part);
  });
}

/** Sends messages on a WebSocket; says how it ended, by code, or 0 where it was left alone. */
function chat(url: string, messages: readonly Buffer[], patienceMs = 300): Promise<number> {
  return new Promise((resolve) => {
    const socket = new WebSocket(url, { perMessageDeflate: false });
    const leave = setTimeout(() => {
      socket.terminate();
      resolve(0);
    }, patienceMs);
    socket.on("open", () => {
      for (const message of messages) socket.send(message);
    });
    socket.on("error", () => {});
    socket.on("close", (code) => {
      clearTimeout(leave);
      resolve(code);
    });
  });
}

const upgrade = (port: number, path: string, host = `127.0.0.1:${port}`): string =>
  `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/** One attack, drawn. */
function attack(draw: Random, run: ServedRun, foreignToken: string): Promise<unknown> {
  const { port, url } = run.serving;
  const line = (text: string): Buffer => Buffer.from(text, "latin1");
  const hello = (): Uint8Array => helloFrame({ token: foreignToken });
  const wsPath = draw.below(2) === 0 ? "/" : "/observe";
  switch (draw.below(8)) {
    case 0:
      return raw(port, [randomBytes(draw, 1 + draw.below(5000))]);
    case 1:
      return raw(port, [damaged(draw, line(upgrade(port, wsPath)))]);
    case 2:
      return raw(port, [
        line(`GET /${"a".repeat(draw.below(40_000))} HTTP/1.1\r\nHost: x\r\n\r\n`),
      ]);
    case 3:
      // A WebSocket that goes on in bytes that are no frames of one.
      return raw(port, [line(upgrade(port, wsPath)), randomBytes(draw, 200)]);
    case 4:
      return raw(port, [
        line(
          `POST /api/admin/revoke HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999\r\n\r\n`,
        ),
        randomBytes(draw, 2000),
      ]);
    case 5:
      return chat(url + wsPath, [randomBytes(draw, draw.below(3000))]);
    case 6:
      return chat(url, [damaged(draw, hello())]);
    default:
      // Too much before a token, in one message or in many.
      return chat(
        url,
        Array.from({ length: 1 + draw.below(40) }, () => randomBytes(draw, 1000)),
      );
  }
}

it("noise at the edge disturbs nobody", async () => {
  console.log(`seed ${seed}, ${attacks} attacks`);
  const draw = random(seed);
  const foreignToken = await new RunTokens(null).issue("device", "d0", 1);
  const run = await serveRun(join(folder, "noisy"), { devices: 3, rounds });
  const { port } = run.serving;
  const slow = connect(port, "127.0.0.1");
  const slowClosed = new Promise<number>((resolve) => {
    const from = performance.now();
    slow.on("error", () => {});
    slow.on("close", () => resolve(performance.now() - from));
  });
  slow.write("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n");
  const dripping = setInterval(() => slow.write("x: y\r\n"), 500);
  const devices = [await run.device(1), await run.device(2)];
  const memory = process.memoryUsage().rss;
  const disturb = async (): Promise<void> => {
    for (let done = 0; done < attacks / 2; done += atOnce) {
      await Promise.all(Array.from({ length: atOnce }, () => attack(draw, run, foreignToken)));
    }
  };
  await disturb();
  // The server has not lost its wits: it answers, and lets the last device in.
  expect((await ask(`http://127.0.0.1:${port}`, "/metrics")).status).toBe(200);
  expect(run.records.filter(({ type }) => type === "left")).toEqual([]);
  devices.push(await run.device(0));
  await expect.poll(() => run.records.some(({ type }) => type === "round")).toBe(true);
  await disturb();
  expect((await run.serving.ended).reason).toBe("finished");
  for (const { ended } of devices) expect((await ended).reason).toBe("finished");
  expect(run.records.filter(({ type }) => type === "round")).toHaveLength(rounds);
  const dropped = run.records.flatMap((record) => (record.type === "round" ? record.dropped : []));
  expect(dropped).toEqual([]);
  expect(process.memoryUsage().rss - memory).toBeLessThan(200e6);
  expect(await Promise.race([slowClosed, sleep(20_000, Number.POSITIVE_INFINITY)])).toBeLessThan(
    15_000,
  );
  clearInterval(dripping);
});
