/** A box that scrolls sideways by itself, so that the page never does; reachable by keyboard. */
import type { ComponentChildren } from "preact";

interface Props {
  readonly label: string;
  readonly children: ComponentChildren;
  readonly testId?: string;
  /** As high as what is in it: the page scrolls instead. */
  readonly isWhole?: boolean;
}

export const ScrollBox = ({ label, children, testId, isWhole = false }: Props) => (
  <section
    class={isWhole ? "scroll whole" : "scroll"}
    aria-label={label}
    data-testid={testId}
    // biome-ignore lint/a11y/noNoninteractiveTabindex: without a mouse it is scrolled by arrow keys
    tabIndex={0}
  >
    {children}
  </section>
);
