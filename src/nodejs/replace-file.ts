/** Files that are replaced in one piece: after a crash they hold the old or the new bytes, whole. */
import { chmodSync, renameSync, writeFileSync } from "node:fs";
import { mkdir, open, rename } from "node:fs/promises";
import { dirname } from "node:path";

/** Writes beside the file, makes it durable, then renames over it. */
export async function replaceFile(path: string, parts: readonly Uint8Array[]): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.part`;
  const file = await open(temporary, "w");
  try {
    for (const part of parts) await file.writeFile(part);
    await file.datasync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}

/** Replaces a file that nobody but its owner may read, at once. */
export function replacePrivate(path: string, text: string): void {
  const temporary = `${path}.part`;
  writeFileSync(temporary, text, { mode: 0o600 });
  // A file that was there before keeps its mode.
  chmodSync(temporary, 0o600);
  renameSync(temporary, path);
}
