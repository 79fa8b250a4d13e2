// The channel that the address of the page names: `/channels#HANDLE`.

export const asked = () => location.hash.slice(1);

/** Puts a channel into the address, or takes it out, so that the address leads back to what is open. */
export function show(handle: string | null): void {
  history.replaceState(null, "", location.pathname + location.search + (handle ? `#${handle}` : ""));
}
