/** A component that draws again only when one of its properties is another. */
import { Component, type ComponentChildren } from "preact";

export function memo<P extends object>(render: (props: P) => ComponentChildren) {
  return class extends Component<P> {
    override shouldComponentUpdate(next: Readonly<P>): boolean {
      const names = Object.keys(next) as (keyof P)[];
      return names.some((name) => next[name] !== (this.props as P)[name]);
    }

    override render(): ComponentChildren {
      return render(this.props as P);
    }
  };
}
