/**
 * The plan in force: when it has to be made anew, how it is made for those who are there, and
 * who has it ready.
 */
import { messageOf, PlanError } from "../../base/errors.ts";
import { linkRate } from "../../plan/link-rate.ts";
import type { Plan } from "../../plan/plan.ts";
import { planParts } from "../../plan/plan-part.ts";
import { type PlannerName, planners } from "../../plan/planners.ts";
import type { Planned } from "../metrics/record.ts";
import type { CompiledJob } from "./compiled-job.ts";
import { fleetNode, inNodeOrder, type Member } from "./members.ts";
import type { Roster } from "./roster.ts";

/** How long a member may take to load its programs. */
const readyMsMax = 120_000;

export class Planning {
  readonly #compiled: CompiledJob;
  readonly #planner: PlannerName;
  readonly #members: Roster;
  /** Newest term issued, that of a plan which is being written down included. */
  #term = 0;
  #plan: Plan | null = null;
  #outdated: string | null = "first plan";

  constructor(compiled: CompiledJob, planner: PlannerName, members: Roster) {
    this.#compiled = compiled;
    this.#planner = planner;
    this.#members = members;
  }

  /** The plan in force; null before the first. */
  get plan(): Plan | null {
    return this.#plan;
  }

  get isOutdated(): boolean {
    return this.#outdated !== null;
  }

  /** Takes over from a coordinator that is no more; its plan is not in force, but says who was there. */
  resume(term: number, plan: Plan | null): void {
    this.#term = term;
    this.#plan = plan;
    this.#outdated = "the coordinator was started again";
  }

  /** The plan no longer fits who is there; before the first one that goes without saying. */
  outdate(reason: string): void {
    if (this.#plan !== null) this.#outdated = reason;
  }

  /**
   * Makes a plan of the next term for the members that are to take part.
   * @param round first round under it
   * @returns the decision, or why there is no plan, in words
   */
  make(round: number): Planned | string {
    const members = inNodeOrder(this.#members).filter(takesPart);
    try {
      const request = this.#compiled.planRequest(this.#term + 1, members.map(fleetNode));
      const plan = planners[this.#planner](request);
      const reason = this.#outdated ?? "";
      this.#term = plan.term;
      this.#outdated = null;
      return { type: "planned", plan, round, reason };
    } catch (error) {
      if (!(error instanceof PlanError)) throw error;
      return messageOf(error);
    }
  }

  /** Puts a plan into force, and sends its part to everybody whom it was made for and who is still there. */
  adopt(plan: Plan): void {
    this.#plan = plan;
    const planned = new Set(plan.copies.map(({ node }) => node));
    const partOf = planParts(plan);
    for (const member of this.#members) {
      if (!takesPart(member) && !planned.has(member.id)) continue;
      member.plannedTerm = plan.term;
      const part = partOf(member.id);
      member.channel.setRate(linkRate(part, member.id));
      member.channel.send({ type: "plan", plan: part });
      this.#members.expect(member, "programs loaded", readyMsMax);
    }
  }

  /** Whether everybody who was sent the plan is ready for it. */
  get isReady(): boolean {
    return [...this.#members].every(
      ({ plannedTerm, readyTerm }) => plannedTerm !== this.#plan?.term || readyTerm === plannedTerm,
    );
  }
}

/** Whether a member is to take part in the next plan. */
const takesPart = ({ profile, isLeaving }: Member): boolean => profile !== null && !isLeaving;
