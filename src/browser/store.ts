/**
 * Files in the origin private file system: a part of the disk that belongs to
 * this site in this browser, that no other site reads and that goes when the
 * person clears the site's data. There in secure contexts alone.
 */
import { EdgeloomError, messageOf } from "../base/errors.ts";
import { settle } from "../engine/callbacks.ts";
import type { Done, Store } from "../run/host.ts";
import { type FileHandle, type FolderHandle, platform } from "./platform.ts";

/** How a file is replaced. */
type Replacing = "writable" | "move";

/**
 * A folder of files, as a peer's store and for the page itself. Names have forward slashes. A file
 * that is cut off in its very first write may be left empty.
 */
export class PrivateFiles implements Store {
  readonly #folder: FolderHandle;
  readonly #replacing: Replacing | null;
  /** Done when all writes and removals so far are. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(folder: FolderHandle, replacing?: Replacing) {
    this.#folder = folder;
    this.#replacing = replacing ?? null;
  }

  /** Replaces the file atomically; writes take effect in the order of their calls. */
  write(name: string, bytes: Uint8Array, done: Done<null>): void {
    void settle(this.save(name, bytes), done);
  }

  /** {@link write} as a promise. @throws EdgeloomError where the browser cannot do it */
  save(name: string, bytes: Uint8Array): Promise<null> {
    const own = bytes.slice();
    return this.#inTurn(async () => {
      const { folder, file } = await this.#at(name, true);
      await this.#replace(folder, file, own);
      return null;
    });
  }

  /** The file's bytes; null where there is none. Sees every write that was asked for before. */
  read(name: string): Promise<Uint8Array | null> {
    return this.#inTurn(async () => {
      for (let looks = 1; ; looks++) {
        const found = (await this.#open(name)) ?? (await this.#open(`${name}.part`));
        if (found instanceof Uint8Array) return found;
        if (found === null && looks >= looksForNothing) return null;
        if (looks === looksMax) throw new EdgeloomError(`${name} is never at rest`);
        await new Promise((resolve) => setTimeout(resolve, lookAgainMs));
      }
    });
  }

  /** Removes a file or a folder with all that is in it; does nothing where there is none. */
  remove(name: string): Promise<null> {
    return this.#inTurn(async () => {
      try {
        const { folder, file } = await this.#at(name, false);
        await folder.removeEntry(file, { recursive: true });
      } catch (error) {
        if (!isMissing(error)) throw error;
      }
      return null;
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work).catch((error: unknown) => {
      throw new EdgeloomError(`the browser's private files: ${messageOf(error)}`, { cause: error });
    });
    this.#last = result.catch(() => {});
    return result;
  }

  async #at(name: string, create: boolean): Promise<{ folder: FolderHandle; file: string }> {
    const parts = name.split("/");
    const file = parts.pop() ?? "";
    let folder = this.#folder;
    for (const part of parts) folder = await folder.getDirectoryHandle(part, { create });
    return { folder, file };
  }

  /** A file's bytes; null where there is none, "replaced" where another page did so meanwhile. */
  async #open(name: string): Promise<Uint8Array | "replaced" | null> {
    try {
      const { folder, file } = await this.#at(name, false);
      const blob = await (await folder.getFileHandle(file)).getFile();
      return new Uint8Array(await blob.arrayBuffer());
    } catch (error) {
      if (isMissing(error)) return null;
      // What was opened is gone; it is never changed under the reader's hands.
      if (error instanceof Error && error.name === "NotReadableError") return "replaced";
      throw error;
    }
  }

  /**
   * A writable stream writes to a copy that takes the file's place when it is closed. Safari
   * before version 26 has none; there a file beside it is written, then moved over it. For a
   * moment there may be only the one beside it, which is whole then: readers know.
   */
  async #replace(folder: FolderHandle, file: string, bytes: Uint8Array<ArrayBuffer>) {
    if (this.#replacing !== "move") {
      const handle = await folder.getFileHandle(file, { create: true });
      if (handle.createWritable !== undefined) return writeCopy(handle, bytes);
    }
    await folder.getFileHandle(file, { create: true });
    const beside = await folder.getFileHandle(`${file}.part`, { create: true });
    if (beside.createSyncAccessHandle === undefined || beside.move === undefined) {
      throw new EdgeloomError("this browser cannot replace a file in one piece");
    }
    const access = await beside.createSyncAccessHandle();
    try {
      access.truncate(0);
      const written = access.write(bytes, { at: 0 });
      if (written !== bytes.length) throw new EdgeloomError("there is no space left");
      access.flush();
    } finally {
      access.close();
    }
    await beside.move(file);
  }
}

async function writeCopy(handle: FileHandle, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  const stream = await handle.createWritable?.();
  try {
    await stream?.write(bytes);
  } catch (error) {
    await stream?.abort();
    throw error;
  }
  await stream?.close();
}

/** While another page puts a file in its place there is none for a moment, so nothing is believed late. */
const looksForNothing = 4;
const looksMax = 100;
const lookAgainMs = 3;

const isMissing = (error: unknown): boolean =>
  error instanceof Error && (error.name === "NotFoundError" || error.name === "TypeMismatchError");

/**
 * This site's private files under a folder's name; null where the browser has none, as on a page
 * that came neither over https nor from this machine, or in some private windows.
 */
export async function openPrivateFiles(
  folder: string,
  replacing?: Replacing,
): Promise<PrivateFiles | null> {
  try {
    const root = await platform.navigator.storage?.getDirectory?.();
    if (root === undefined) return null;
    return new PrivateFiles(await root.getDirectoryHandle(folder, { create: true }), replacing);
  } catch {
    return null;
  }
}
