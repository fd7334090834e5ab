/** Hooks about an element's place on the page: how wide it is, whether it can be seen. */
import { useLayoutEffect, useState } from "preact/hooks";

/** A ref to hand to an element, and its content width in whole pixels; 0 before it is known. */
export function useWidth() {
  const [element, ref] = useState<Element | null>(null);
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    if (element === null) return;
    const measure = () => setWidth(Math.floor(element.clientWidth));
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, [element]);
  return [ref, width] as const;
}

/** Calls back when an element comes into view or leaves it; returns the end of watching. */
export function onVisible(element: Element, change: (isVisible: boolean) => void): () => void {
  const observer = new IntersectionObserver((entries) => {
    change(entries.at(-1)?.isIntersecting ?? false);
  });
  observer.observe(element);
  return () => observer.disconnect();
}
