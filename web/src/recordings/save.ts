// Saves an MP4: what is small enough arrives in the page, with its progress; the browser takes the rest by itself.

/** More than this is not held by the page. */
const HELD_BYTES_MAX = 1 << 30;

export type Progress = (got: number, of: number) => void;

/** Resolves when the file is the browser's; rejects with words for the user. */
export async function save(url: string, name: string, signal: AbortSignal, progress: Progress): Promise<void> {
  const reply = await fetch(url, { signal });
  if (!reply.ok || !reply.body) throw new Error(await told(reply));
  const size = Number(reply.headers.get("Content-Length") ?? 0);
  if (size > HELD_BYTES_MAX) {
    await reply.body.cancel();
    return click(url, name);
  }
  let got = 0;
  const counted = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      got += chunk.byteLength;
      progress(got, size);
      controller.enqueue(chunk);
    },
  });
  const blob = await new Response(reply.body.pipeThrough(counted), { headers: { "Content-Type": "video/mp4" } }).blob();
  const held = URL.createObjectURL(blob);
  click(held, name);
  setTimeout(() => URL.revokeObjectURL(held), 60_000);
}

async function told(reply: Response): Promise<string> {
  const json = (await reply.json().catch(() => null)) as { detail?: string } | null;
  return json?.detail ?? `The server answered ${reply.status}.`;
}

function click(href: string, name: string): void {
  const link = document.createElement("a");
  link.href = href;
  link.download = name;
  link.click();
}
