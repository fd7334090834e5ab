/** docs/models.md says what the built-in models are. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { modelsPage } from "../scripts/models.ts";

test("the table of built-in models is up to date: npm run models", { timeout: 60_000 }, () => {
  const page = readFileSync(new URL("../docs/models.md", import.meta.url), "utf8");
  expect(page).toBe(modelsPage());
});
