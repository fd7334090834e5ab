/** What members of an exchange say of what they took, joined and took over, for the log. */
import type { Joined, Participant, Took, Transfer } from "../metrics/record.ts";
import type { ContributionMessage } from "../wire/messages.ts";

/** What a lone stage joined of others, where it was not everything in time, and which weights it was given. */
export function joinedOf(
  messages: readonly ContributionMessage[],
): Pick<Participant, "joined" | "transfers"> {
  const joined = messages.flatMap(({ joined: own = [] }) => own) as readonly Joined[];
  const transfers = messages.flatMap(({ transfers: own = [] }) => own) as readonly Transfer[];
  return {
    ...(joined.length > 0 && { joined }),
    ...(transfers.length > 0 && { transfers }),
  };
}

/**
 * Batches that a member took before each exchange, where it says so; and of what it says of others what they cannot say themselves.
 * @param isOut whether a chain has no part in the round that is committed
 */
export function tookOf(
  { chain, took = [] }: { readonly chain: string; readonly took?: readonly Took[] | undefined },
  isOut: (chain: string) => boolean,
): Pick<Participant, "took"> {
  const told = took.filter((one) => one.chain === chain || isOut(one.chain));
  return told.length === 0 ? {} : { took: told };
}
