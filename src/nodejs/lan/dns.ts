/**
 * Packets of multicast DNS (RFC 6762), as far as discovery needs them. Anybody in the network can
 * send any: what is not of these four types of records, or not of their shape, is left out here, and of
 * a packet no more is looked at than an honest one holds.
 */
import * as z from "zod/mini";

/** The port of multicast DNS. */
export const multicastPort = 5353;

/** Questions, and records of each section, that are read of a packet. */
const entriesMax = 64;
const stringsMax = 16;

const name = z.string().check(z.maxLength(254));
const shared = {
  name,
  /** Seconds for which it holds; 0 takes it back. */
  ttl: z.int().check(z.nonnegative()),
  /** Whether it replaces what others have kept under its name and type (section 10.2). */
  flush: z.optional(z.boolean()),
};

const recordSchema = z.discriminatedUnion("type", [
  z.object({ ...shared, type: z.literal("PTR"), data: name }),
  z.object({
    ...shared,
    type: z.literal("SRV"),
    data: z.object({ port: z.int().check(z.minimum(1), z.maximum(65_535)), target: name }),
  }),
  z.object({
    ...shared,
    type: z.literal("TXT"),
    data: z.array(z.instanceof(Uint8Array)).check(z.maxLength(stringsMax)),
  }),
  z.object({ ...shared, type: z.literal("A"), data: z.ipv4() }),
]);

const questionSchema = z.object({ name, type: z.string() });

const packetSchema = z.object({
  type: z.enum(["query", "response"]),
  id: z.int(),
  questions: z.array(z.unknown()),
  answers: z.array(z.unknown()),
  authorities: z.array(z.unknown()),
  additionals: z.array(z.unknown()),
});

/** A resource record of one of the types in use. */
export type DnsRecord = z.infer<typeof recordSchema>;
/** A record of one type. */
export type DnsRecordOf<Type extends DnsRecord["type"]> = Extract<DnsRecord, { type: Type }>;
/** A name and the type of what is asked about it; ANY for all. */
export type Question = z.infer<typeof questionSchema>;

/** A query or a response. */
export interface DnsPacket {
  readonly type: "query" | "response";
  /** 0, except for programs that are no peers of multicast DNS (section 6.7). */
  readonly id: number;
  readonly questions: readonly Question[];
  /** Of a query: what is known, and need not be answered. */
  readonly answers: readonly DnsRecord[];
  /** Of a query: what its sender is about to announce. */
  readonly authorities: readonly DnsRecord[];
  readonly additionals: readonly DnsRecord[];
}

/** A packet with these sections. */
export const packetOf = (
  type: DnsPacket["type"],
  sections: Partial<Omit<DnsPacket, "type">>,
): DnsPacket => ({
  type,
  id: 0,
  questions: [],
  answers: [],
  authorities: [],
  additionals: [],
  ...sections,
});

/** What a decoded packet holds of use; null where it is none. */
export function readPacket(value: unknown): DnsPacket | null {
  const read = packetSchema.safeParse(value);
  if (!read.success) return null;
  const { type, id, questions, answers, authorities, additionals } = read.data;
  return {
    type,
    id,
    questions: fitting(questionSchema, questions),
    answers: fitting(recordSchema, answers),
    authorities: fitting(recordSchema, authorities),
    additionals: fitting(recordSchema, additionals),
  };
}

const fitting = <T>(schema: z.ZodMiniType<T>, values: readonly unknown[]): T[] =>
  values.slice(0, entriesMax).flatMap((value) => {
    const read = schema.safeParse(value);
    return read.success ? [read.data] : [];
  });

/** Names of DNS are the same in any case of letters. */
export const isSameName = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();
