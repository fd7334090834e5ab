/** Where the swarm starts: at the commit, so that every commit is tried on seeds of its own. */
import { execFileSync } from "node:child_process";

/** Seeds are unsigned 32-bit numbers. */
const seedDigits = 8;

/** The first seed, and where it is from. Without a repository it is 1. */
export function firstSeed(): { seed: number; from: string } {
  try {
    const hash = execFileSync("git", ["rev-parse", "HEAD"], { stdio: "pipe" }).toString().trim();
    return { seed: Number.parseInt(hash.slice(0, seedDigits), 16), from: `commit ${hash}` };
  } catch {
    return { seed: 1, from: "no commit to take it from" };
  }
}
