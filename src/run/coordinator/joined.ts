/** What members of an exchange say of what they joined and took over, for the log. */
import type { Joined, Participant, Transfer } from "../metrics/record.ts";
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
