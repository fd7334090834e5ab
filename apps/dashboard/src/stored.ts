/** Small texts that outlive a reload, where the browser allows it; else nothing is kept. */

/** The two stores are looked up late: merely naming them may throw. */
const stores = { session: () => sessionStorage, local: () => localStorage } as const;

export function stored(store: keyof typeof stores, key: string): string | null {
  try {
    return stores[store]().getItem(key);
  } catch {
    return null;
  }
}

/** Null forgets. */
export function store(where: keyof typeof stores, key: string, text: string | null): void {
  try {
    if (text === null) stores[where]().removeItem(key);
    else stores[where]().setItem(key, text);
  } catch {
    // Private windows and files from disk: the page works without.
  }
}
