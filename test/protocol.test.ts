/** docs/protocol.md says what crosses a link: whole, and held by tests. */
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import {
  messageSchemas,
  peerRefusals,
  refusalReasons,
  rejectReasons,
  stopReasons,
} from "../src/run/wire/messages.ts";

const root = path.resolve(import.meta.dirname, "..");
const page = readFileSync(path.join(root, "docs/protocol.md"), "utf8");

/** Rules that the page states, by number. */
const rules = [...page.matchAll(/^- \*\*([A-Z]\d+)\*\*/gm)].map(([, number = ""]) => number);

/** Every rule that a test or suite names, with the files that do. */
function citations(): Map<string, string[]> {
  const cited = new Map<string, string[]>();
  for (const folder of ["src", "test"]) {
    for (const file of readdirSync(path.join(root, folder), { recursive: true }) as string[]) {
      const isSuite = file.endsWith(".test.ts") || /^contract.*\.ts$/.test(file);
      if (!isSuite || file === path.basename(import.meta.filename)) continue;
      const text = readFileSync(path.join(root, folder, file), "utf8");
      for (const [number] of text.matchAll(/\b[WJRDM]\d{1,2}\b/g)) {
        cited.set(number, [...(cited.get(number) ?? []), file]);
      }
    }
  }
  return cited;
}

interface ObjectSchema {
  readonly shape: Readonly<
    Record<string, { readonly _zod: { readonly def: { values?: string[] } } }>
  >;
}

/** Messages of a side: their types, with the names of their fields. */
function messagesOf(side: keyof typeof messageSchemas): [type: string, fields: string[]][] {
  const options = messageSchemas[side]._zod.def.options as unknown as readonly ObjectSchema[];
  return options.map(({ shape }) => {
    const { type, ...fields } = shape;
    return [type?._zod.def.values?.[0] ?? "", Object.keys(fields)];
  });
}

/** The part of the page under a heading. */
const section = (heading: string): string =>
  page.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? "";

describe("docs/protocol.md", () => {
  test("numbers its rules without gaps, each once", () => {
    const byLetter = Map.groupBy(rules, (number) => number[0]);
    expect([...byLetter.keys()]).toEqual(["W", "J", "R", "D", "M"]);
    for (const [letter, numbers] of byLetter) {
      expect(numbers).toEqual(numbers.map((_, i) => `${letter}${i + 1}`));
    }
  });

  test("states no rule that no test holds, and tests name no rule that is not stated", () => {
    const cited = citations();
    expect(rules.filter((number) => !cited.has(number))).toEqual([]);
    expect([...cited].filter(([number]) => !rules.includes(number))).toEqual([]);
  });

  test.each([
    ["worker", "Messages of a worker"],
    ["coordinator", "Messages of the coordinator"],
    ["peer", "Messages between workers"],
  ] as const)(
    "describes every message of the %s with all its fields, and no other",
    (side, heading) => {
      const rows = section(heading)
        .split("\n")
        .filter((line) => line.startsWith("| `"));
      const described = new Map(
        rows.flatMap((row) => {
          const [, names = "", fields = ""] = row.split("|");
          return [...names.matchAll(/`(\w+)`/g)].map(([, name = ""]) => [name, fields] as const);
        }),
      );
      const messages = messagesOf(side);
      expect([...described.keys()].sort()).toEqual(messages.map(([type]) => type).sort());
      for (const [type, fields] of messages) {
        const text = described.get(type) ?? "";
        if (/the same|as above/.test(text)) continue;
        for (const field of fields) expect(text, type).toMatch(new RegExp(`\`${field}\``));
      }
    },
  );

  test("lists the closed sets of reasons as they are", () => {
    const listed = (start: string): string[] => {
      const at = page.indexOf(start);
      const [list = ""] = page.slice(at + start.length).split(/[.;]/, 1);
      return [...list.matchAll(/`([^`]+)`/g)].map(([, word = ""]) => word);
    };
    expect(listed("Reasons of `refuse`")).toEqual([...refusalReasons]);
    expect(listed("; between workers")).toEqual([...peerRefusals]);
    expect(listed("Reasons of `stop`")).toEqual([...stopReasons]);
    expect(listed("Reasons of `reject`")).toEqual([...rejectReasons]);
  });
});
