/** What members of an exchange say of what they joined, for the log. */
import type { Joined, Participant } from "../metrics/record.ts";
import type { ContributionMessage } from "../wire/messages.ts";

/** What a lone stage joined of others, where it was not everything in time. */
export function joinedOf(messages: readonly ContributionMessage[]): Pick<Participant, "joined"> {
  const joined = messages.flatMap(({ joined: own = [] }) => own);
  return joined.length === 0 ? {} : { joined: joined as readonly Joined[] };
}
