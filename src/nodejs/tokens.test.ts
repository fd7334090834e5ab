import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SignJWT } from "jose";
import { afterEach, describe, expect, it } from "vitest";
import { InputError } from "../base/errors.ts";
import { RunTokens } from "./tokens.ts";

const folders: string[] = [];
function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "edgeloom-tokens-"));
  folders.push(folder);
  return folder;
}
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

describe("tokens of a run", () => {
  it("name their role and id, and are short enough to paste", async () => {
    const tokens = new RunTokens(null);
    const token = await tokens.issue("device", "phone", 7);
    expect(token).toMatch(/^[\w.-]{1,150}$/);
    const [issued] = tokens.issued;
    expect(await tokens.check(token)).toEqual({
      ok: true,
      id: issued?.id,
      role: "device",
      label: "phone",
    });
    expect(issued).toMatchObject({ role: "device", label: "phone", isRevoked: false });
  });

  it("hold for one run alone, and only as they were signed", async () => {
    const [tokens, others] = [new RunTokens(null), new RunTokens(null)];
    const token = await tokens.issue("observer", "page", 7);
    const [head, claims = "", signature] = token.split(".");
    const raised = JSON.parse(Buffer.from(claims, "base64url").toString());
    const forged = Buffer.from(JSON.stringify({ ...raised, role: "admin" })).toString("base64url");
    const unsigned = Buffer.from('{"alg":"none"}').toString("base64url");
    for (const bad of [
      await others.issue("observer", "page", 7),
      `${head}.${forged}.${signature}`,
      `${unsigned}.${claims}.`,
      `${token}x`,
      "",
      "guess",
      "x".repeat(10_000),
    ]) {
      const check = await tokens.check(bad);
      expect(check).toEqual({ ok: false, text: expect.stringContaining("not of this run") });
    }
  });

  it("need an id, a role that there is, and an end", async () => {
    const folder = newFolder();
    const tokens = new RunTokens(folder);
    const { key } = JSON.parse(readFileSync(join(folder, "access.json"), "utf8"));
    const signed = (claims: Record<string, string>, isEndless = false): Promise<string> => {
      const token = new SignJWT(claims).setProtectedHeader({ alg: "HS256" });
      return (isEndless ? token : token.setExpirationTime("1h")).sign(
        Buffer.from(key, "base64url"),
      );
    };
    expect((await tokens.check(await signed({ jti: "a", role: "device" }))).ok).toBe(true);
    expect((await tokens.check(await signed({ jti: "a", role: "owner" }))).ok).toBe(false);
    expect((await tokens.check(await signed({ role: "device" }))).ok).toBe(false);
    expect((await tokens.check(await signed({ jti: "a", role: "device" }, true))).ok).toBe(false);
  });

  it("expire, and say when they did", async () => {
    const tokens = new RunTokens(null);
    const check = await tokens.check(await tokens.issue("device", "late", -1));
    expect(check).toEqual({ ok: false, text: expect.stringMatching(/^it has expired on \d{4}-/) });
  });

  it("can be revoked, once, and the folder remembers", async () => {
    const folder = newFolder();
    const tokens = new RunTokens(folder);
    const [gone = "", kept = ""] = await tokens.issueOnce("device", ["a", "b"], 7);
    const id = tokens.issued[0]?.id ?? "";
    expect([tokens.revoke(id), tokens.revoke(id), tokens.revoke("none")]).toEqual([
      true,
      false,
      false,
    ]);
    for (const opened of [tokens, new RunTokens(folder)]) {
      expect(await opened.check(gone)).toEqual({
        ok: false,
        text: expect.stringContaining("revoked"),
      });
      expect((await opened.check(kept)).ok).toBe(true);
    }
  });

  it("stay the same when the run is opened again, but for those revoked", async () => {
    const folder = newFolder();
    const before = await new RunTokens(folder).issueOnce("device", ["a", "b"], 7);
    const again = new RunTokens(folder);
    expect(await again.issueOnce("device", ["a", "b"], 7)).toEqual(before);
    again.revoke(again.issued[0]?.id ?? "");
    const after = await again.issueOnce("device", ["a", "b"], 7);
    expect(after[0]).not.toBe(before[0]);
    expect(after[1]).toBe(before[1]);
  });

  it("keep their key from other users", (context) => {
    if (process.platform === "win32") context.skip("Windows knows no such modes");
    const folder = newFolder();
    new RunTokens(folder);
    expect(statSync(join(folder, "access.json")).mode & 0o777).toBe(0o600);
  });

  it("say what is wrong with a file that is none of ours", () => {
    const folder = newFolder();
    writeFileSync(join(folder, "access.json"), '{"version":1,"key":"short"}');
    expect(() => new RunTokens(folder)).toThrow(InputError);
  });
});
