/**
 * What is used of browsers, and only that. The browser's own types are not there
 * where tests under Node.js check this folder too, so they are written out here;
 * none of it is assumed to be there when the code runs.
 */

/** A file that the person chose, as a page may read it. */
export interface ChosenFile {
  readonly name: string;
  /** Path below the folder that was chosen, with that folder's name first; empty for a single file. */
  readonly webkitRelativePath: string;
  readonly size: number;
  arrayBuffer(): Promise<ArrayBuffer>;
}

/** A WebSocket. */
export interface Socket {
  readonly readyState: number;
  readonly bufferedAmount: number;
  binaryType: string;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
  addEventListener(type: "open" | "error", listener: () => void): void;
  addEventListener(type: "message", listener: (event: { readonly data: unknown }) => void): void;
  addEventListener(
    type: "close",
    listener: (event: { readonly code: number; readonly reason: string }) => void,
  ): void;
}

/** A decoded picture that can be drawn. */
export interface Bitmap {
  readonly width: number;
  readonly height: number;
  close(): void;
}

interface Canvas {
  getContext(
    kind: "2d",
    options: { readonly willReadFrequently: boolean },
  ): {
    drawImage(bitmap: Bitmap, x: number, y: number, width: number, height: number): void;
    getImageData(
      x: number,
      y: number,
      width: number,
      height: number,
    ): { readonly data: Uint8ClampedArray };
  } | null;
}

/** A file of the origin private file system. */
export interface FileHandle {
  getFile(): Promise<{ arrayBuffer(): Promise<ArrayBuffer> }>;
  /** Absent in some browsers: see `store.ts`. */
  createWritable?(): Promise<{
    write(bytes: Uint8Array<ArrayBuffer>): Promise<void>;
    close(): Promise<void>;
    abort(): Promise<void>;
  }>;
  createSyncAccessHandle?(): Promise<{
    write(bytes: Uint8Array<ArrayBuffer>, options: { readonly at: number }): number;
    truncate(size: number): void;
    flush(): void;
    close(): void;
  }>;
  move?(name: string): Promise<void>;
}

/** A folder of the origin private file system. */
export interface FolderHandle {
  getDirectoryHandle(name: string, options?: { readonly create: boolean }): Promise<FolderHandle>;
  getFileHandle(name: string, options?: { readonly create: boolean }): Promise<FileHandle>;
  removeEntry(name: string, options?: { readonly recursive: boolean }): Promise<void>;
}

/** The global scope of a page or a Web Worker. */
export const platform = globalThis as unknown as {
  readonly WebSocket: new (url: string) => Socket;
  readonly createImageBitmap: (file: ChosenFile) => Promise<Bitmap>;
  readonly OffscreenCanvas: new (width: number, height: number) => Canvas;
  /** `storage` is there in secure contexts alone: https, or this machine. */
  readonly navigator: { readonly storage?: { getDirectory?(): Promise<FolderHandle> } };
};
