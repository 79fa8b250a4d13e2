// What the server said was wrong: a problem document (RFC 9457) as an error that forms and pages can show.

export class Refused extends Error {
  constructor(
    message: string,
    readonly status: number,
    /** The kind of problem, the end of its `type`. */
    readonly slug: string,
    /** Sentences by the name of the field that they are about. */
    readonly fields: Readonly<Record<string, string>>,
    /** Seconds after which it is worth asking again; 0 when the server did not tell. */
    readonly wait_s: number,
  ) {
    super(message);
  }

  /** The server wants to know first who asks. */
  get locked(): boolean {
    return this.status === 401;
  }
}

interface Document {
  type?: unknown;
  detail?: unknown;
  errors?: unknown;
}

/** Reads an answer that is not a success. */
export async function refusal(reply: Response): Promise<Refused> {
  const document = ((await reply.json().catch(() => null)) ?? {}) as Document;
  const type = typeof document.type === "string" ? document.type : "";
  const detail = typeof document.detail === "string" && document.detail ? sentence(document.detail) : `The server answered ${reply.status}.`;
  const wait = Number(reply.headers.get("Retry-After"));
  return new Refused(detail, reply.status, type.split(":").at(-1) ?? "", fieldsOf(document.errors), Number.isFinite(wait) ? Math.max(0, Math.ceil(wait)) : 0);
}

function fieldsOf(errors: unknown): Record<string, string> {
  const fields: Record<string, string> = {};
  for (const each of Array.isArray(errors) ? errors : []) {
    const { pointer, detail } = (each ?? {}) as { pointer?: unknown; detail?: unknown };
    // `/roles/0` is about the field of roles.
    const name = typeof pointer === "string" ? pointer.split("/")[1] : undefined;
    if (name && typeof detail === "string") fields[name] = sentence(detail);
  }
  return fields;
}

/** With a capital at its beginning and a full stop at its end. */
export function sentence(text: string): string {
  const plain = text.trim();
  return plain.charAt(0).toUpperCase() + plain.slice(1) + (/[.?:…]$/.test(plain) ? "" : ".");
}

/** Any error in words. */
export function told(error: unknown): string {
  if (error instanceof TypeError) return "The server does not answer.";
  return error instanceof Error ? error.message : String(error);
}
