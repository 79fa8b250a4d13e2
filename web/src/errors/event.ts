// What of an event is shown. It comes from anywhere: every field is looked at before it is believed.

export interface Frame {
  place: string;
  line: string;
  own: boolean;
}

export interface Thrown {
  kind: string;
  value: string;
  /** The innermost first, as people read them. */
  frames: Frame[];
}

export interface Crumb {
  at: string;
  kind: string;
  text: string;
}

type Fields = Record<string, unknown>;

const fields = (value: unknown): Fields => (value && typeof value === "object" && !Array.isArray(value) ? (value as Fields) : {});
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
const text = (value: unknown): string => (typeof value === "string" ? value : typeof value === "number" || typeof value === "boolean" ? String(value) : "");
const values = (value: unknown): unknown[] => (Array.isArray(value) ? value : list(fields(value)["values"]));

function frame(value: unknown): Frame {
  const of = fields(value);
  const [file, module, line] = [text(of["filename"]), text(of["module"]), text(of["lineno"])];
  const where = [file || module, line].filter(Boolean).join(":");
  const called = text(of["function"]);
  return { place: called && where ? `${called} — ${where}` : called || where || "?", line: text(of["context_line"]).trim(), own: of["in_app"] === true };
}

/** The exceptions, the one that was seen last first. */
export function thrown(body: Fields): Thrown[] {
  const all = values(body["exception"]).map((value) => {
    const of = fields(value);
    const frames = list(fields(of["stacktrace"])["frames"]).map(frame).reverse();
    return { kind: text(of["type"]), value: text(of["value"]), frames };
  });
  return all.reverse();
}

export function crumbs(body: Fields): Crumb[] {
  return values(body["breadcrumbs"]).map((value) => {
    const of = fields(value);
    const at = typeof of["timestamp"] === "number" ? new Date(of["timestamp"] * 1000).toISOString() : text(of["timestamp"]);
    return { at, kind: text(of["category"]) || text(of["type"]), text: text(of["message"]) || (of["data"] ? JSON.stringify(of["data"]) : "") };
  });
}

/** Names and values beside the event itself. */
export function facts(body: Fields): [string, string][] {
  const pairs = (value: unknown): [string, string][] =>
    Array.isArray(value)
      ? value.map((pair) => [text(list(pair)[0]), text(list(pair)[1])])
      : Object.entries(fields(value)).map(([name, value]) => [name, text(value) || JSON.stringify(value)]);
  const named = ["logger", "transaction", "server_name", "platform"].map((name): [string, string] => [name, text(body[name])]);
  const request = fields(body["request"]);
  const asked: [string, string] = ["request", [text(request["method"]), text(request["url"])].filter(Boolean).join(" ")];
  return [...named, asked, ...pairs(body["tags"]), ...pairs(body["extra"])].filter(([, value]) => value !== "" && value !== undefined);
}
