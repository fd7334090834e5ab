/** What the page knows: the offer of its link, the device in its worker, and what this browser can do. */
import { signal } from "@preact/signals";
import { fetchOffer, forgetOwnData, type JoinOffer, messageOf } from "edgeloom/browser";
import { tokenIn } from "../../dashboard/src/route.ts";
import { atFirst, type DataChoice, type DeviceState, type Order, type Start } from "./messages.ts";
import { deviceFiles, readSettings, type Settings, writeSettings } from "./settings.ts";
import { keepAwake } from "./wake-lock.ts";

/** Where the page stands with its link. */
export type Entry =
  | { readonly kind: "opening" }
  /** There is no token, or it is not accepted. */
  | { readonly kind: "closed"; readonly why: string }
  | { readonly kind: "open"; readonly offer: JoinOffer; readonly settings: Settings | null };

export const entry = signal<Entry>({ kind: "opening" });
/** The device at work; null while the person chooses. */
export const device = signal<DeviceState | null>(null);

/** The coordinator's address: the page lies at `join/` below it. */
const server = new URL("../", location.href).href.replace(/[?#].*$/, "");
const token = (): string | null => tokenIn(location.hash);
let worker: Worker | null = null;

/** What this browser lacks, with what that means. */
export function lacks(): string[] {
  const missing: string[] = [];
  if (!isSecureContext) {
    missing.push(
      "This connection is not trusted (no https, or its certificate is unknown here). So the screen may switch off while training, nothing is kept for a reload, and computing uses one thread and no graphics processor.",
    );
  } else {
    if (!("wakeLock" in navigator)) missing.push("The screen may switch off while training.");
    if (!crossOriginIsolated) missing.push("Computing uses one thread.");
  }
  return missing;
}

export const hasGpu = (): boolean => "gpu" in navigator;

/** Asks what there is to join; a device that was at work before a reload goes on. */
export async function open(): Promise<void> {
  const shown = token();
  if (shown === null) {
    entry.value = { kind: "closed", why: "" };
    return;
  }
  entry.value = { kind: "opening" };
  const files = await deviceFiles(shown);
  const settings = files === null ? null : await readSettings(files);
  if (settings?.isAtWork && device.value === null) {
    const { name, backend, instance } = settings;
    start({ name, backend, instance, data: { kind: "kept" } });
  }
  try {
    const offer = await fetchOffer(new URL(server), shown);
    entry.value = { kind: "open", offer, settings };
  } catch (error) {
    const why = error instanceof TypeError ? "The server does not answer." : messageOf(error);
    entry.value = { kind: "closed", why };
  }
}

/** Takes a pasted link or token. False where it holds none. */
export function enter(text: string): boolean {
  const found = tokenIn(text);
  if (found === null) return false;
  location.hash = `token=${encodeURIComponent(found)}`;
  void open();
  return true;
}

export interface Chosen {
  readonly name: string;
  readonly backend: "wasm" | "webgpu";
  /** Of the device that was here before a reload; null for a new one. */
  readonly instance: string | null;
  readonly data: DataChoice;
}

/** Starts the device in a worker of its own. */
export function start({ name, backend, instance, data }: Chosen): void {
  const shown = token();
  if (shown === null) return;
  worker?.terminate();
  worker = new Worker(new URL("./device.ts", import.meta.url), { type: "module" });
  worker.addEventListener("message", ({ data: state }: MessageEvent<DeviceState>) => {
    device.value = state;
    keepAwake(["training", "pausing", "waiting"].includes(state.phase));
  });
  worker.addEventListener("error", ({ message }) => failed(message));
  const order: Start = { server, token: shown, name, backend, instance, data };
  say({ type: "start", start: order });
}

/** Says so, also where the worker could not even be loaded, of which browsers say nothing more. */
function failed(message: string | undefined): void {
  keepAwake(false);
  const text = `The device's worker has failed: ${message ?? "it could not be loaded"}.`;
  device.value = { ...(device.value ?? atFirst), phase: "ended", isProblem: true, text };
}

export const pause = (): void => say({ type: "pause" });
export const resume = (): void => say({ type: "resume" });
export const leave = (): void => say({ type: "leave" });

/** Back to choosing, after the device's end. */
export async function again(): Promise<void> {
  worker?.terminate();
  worker = null;
  device.value = null;
  await open();
}

/** Forgets the samples that this browser has kept for this link. */
export async function forget(): Promise<void> {
  const shown = token();
  const files = shown === null ? null : await deviceFiles(shown);
  if (files !== null) {
    await forgetOwnData(files);
    const settings = await readSettings(files);
    if (settings !== null) await writeSettings(files, { ...settings, data: null });
  }
  await open();
}

function say(order: Order): void {
  worker?.postMessage(order);
}
