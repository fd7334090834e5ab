/**
 * What an observer (the page, `edgeloom watch`) and a server say to each other:
 * JSON texts over a WebSocket at `/observe`. An observer only looks: after its
 * first message it is sent records, and nothing that it says changes the run.
 */
import * as z from "zod/mini";

/** Observers and servers of different versions refuse each other. */
export const observerProtocol = 1;

const text = z.string().check(z.maxLength(256));

/** The observer's first and only message. */
const observeSchema = z.strictObject({
  type: z.literal("observe"),
  protocol: z.int(),
  token: text,
  /** The run it has records of, and how many; the server goes on from there if it is the same run. */
  run: z.nullable(text),
  from: z.int().check(z.nonnegative()),
});
export type ObserveMessage = z.infer<typeof observeSchema>;

const observerRefusals = ["version", "token", "protocol", "no run"] as const;
export type ObserverRefusal = (typeof observerRefusals)[number];

const fromServer = z.discriminatedUnion("type", [
  /** The answer: this run, its records from the number `from` on. Zero: begin anew. */
  z.strictObject({
    type: z.literal("observing"),
    run: text,
    from: z.int().check(z.nonnegative()),
  }),
  z.strictObject({
    type: z.literal("records"),
    /** Number of the run's lasting records sent, with these. */
    next: z.int().check(z.nonnegative()),
    /** Records as in `records.jsonl`, and `activity` records between them. */
    records: z.array(z.unknown()),
  }),
  z.strictObject({
    type: z.literal("refused"),
    reason: z.enum(observerRefusals),
    text: z.string(),
  }),
]);
export type ServerMessage = z.infer<typeof fromServer>;

/** Null for what is no message of a server. */
export function readServerMessage(raw: string): ServerMessage | null {
  const result = fromServer.safeParse(jsonOf(raw));
  return result.success ? result.data : null;
}

/** Null for what is no message of an observer. */
export function readObserveMessage(raw: string): ObserveMessage | null {
  const result = observeSchema.safeParse(jsonOf(raw));
  return result.success ? result.data : null;
}

function jsonOf(raw: string): unknown {
  try {
    return JSON.parse(raw);
  } catch {
    return null;
  }
}
