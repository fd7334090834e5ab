/** The run folder as a store: each file is replaced atomically, in the order of the writes. */
import { mkdir, open, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { messageOf } from "../base/errors.ts";
import type { Store } from "../run/host.ts";

export function folderStore(folder: string): Store {
  let last: Promise<void> = Promise.resolve();
  return {
    write(name, bytes, done) {
      last = last
        .then(() => replaceFile(join(folder, name), bytes))
        .then(
          () => done({ ok: true, value: null }),
          (error: unknown) => done({ ok: false, error: messageOf(error) }),
        );
    },
  };
}

/** Writes beside the file, makes it durable, then renames over it. */
async function replaceFile(path: string, bytes: Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.part`;
  const file = await open(temporary, "w");
  try {
    await file.writeFile(bytes);
    await file.datasync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}
