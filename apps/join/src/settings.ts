/**
 * What this browser keeps of a device: its name, how it computes, and whether it
 * takes part, in the site's private files. One folder for each join token, so that
 * two pages with two links are two devices.
 */
import { openPrivateFiles, type PrivateFiles } from "edgeloom/browser";

export interface Settings {
  readonly name: string;
  readonly backend: "wasm" | "webgpu";
  /** Names the device to the coordinator: after a reload it is the same one. */
  readonly instance: string;
  /** What the kept samples are, in words; null where none are kept. */
  readonly data: string | null;
  /** The device was at work when the page was last seen: a reload goes on. */
  readonly isAtWork: boolean;
}

const file = "settings.json";

/** The private files of a token's device; null where the browser has none. */
export async function deviceFiles(token: string): Promise<PrivateFiles | null> {
  if (!isSecureContext) return null;
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(token));
  return openPrivateFiles(`edgeloom-device-${hex(new Uint8Array(digest, 0, 8))}`);
}

const hex = (bytes: Uint8Array): string =>
  [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** 64 random bits. */
export const randomName = (): string => hex(crypto.getRandomValues(new Uint8Array(8)));

/** Names this browser to the coordinator, so that its pages are probed in turn; the same for all its devices. */
export async function machineName(): Promise<string> {
  const files = await openPrivateFiles("edgeloom");
  const kept = await files?.read("machine").catch(() => null);
  if (kept != null && kept.length > 0) return new TextDecoder().decode(kept);
  const name = randomName();
  await files?.save("machine", new TextEncoder().encode(name)).catch(() => null);
  return name;
}

export async function readSettings(files: PrivateFiles): Promise<Settings | null> {
  try {
    const bytes = await files.read(file);
    return bytes === null ? null : (JSON.parse(new TextDecoder().decode(bytes)) as Settings);
  } catch {
    return null;
  }
}

export async function writeSettings(files: PrivateFiles, settings: Settings): Promise<void> {
  await files.save(file, new TextEncoder().encode(JSON.stringify(settings)));
}
