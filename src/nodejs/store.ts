/** The run folder as a store: each file is replaced atomically, in the order of the writes. */
import { join } from "node:path";
import { settle } from "../engine/callbacks.ts";
import type { Store } from "../run/host.ts";
import { replaceFile } from "./replace-file.ts";

export function folderStore(folder: string): Store {
  let last: Promise<void> = Promise.resolve();
  return {
    write(name, bytes, done) {
      last = last.then(() =>
        settle(
          replaceFile(join(folder, name), [bytes]).then(() => null),
          done,
        ),
      );
    },
  };
}
