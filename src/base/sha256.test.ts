import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, it } from "vitest";
import { Sha256 } from "./sha256.ts";

it("is the SHA-256 of the platform, in whatever pieces bytes come", () => {
  const pieces = fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 6 });
  fc.assert(
    fc.property(pieces, (all) => {
      const own = new Sha256();
      const platform = createHash("sha256");
      for (const bytes of all) {
        own.update(bytes);
        platform.update(bytes);
      }
      expect(own.digest()).toBe(platform.digest("hex"));
    }),
  );
});

it("knows the values that FIPS 180-4 was published with", () => {
  const of = (text: string) => new Sha256().update(new TextEncoder().encode(text)).digest();
  expect(of("abc")).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  expect(of("")).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
});
