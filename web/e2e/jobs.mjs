// The part of the stand-in server (mock.mjs) that operators look after: schedules with their runs, what was laid aside, mail, settings;
// all in memory. For development only.
import { randomUUID } from "node:crypto";
import { Problem, invalid } from "./identity.mjs";

const SCHEDULES = "/api/scheduler/v1/schedules";
const MAILS = "/api/auth-service/v1/mails";
const SETTINGS = "/api/backend-api/v1/settings";
const RUN_MS = 2500;

const ago = (s) => new Date(Date.now() - s * 1000).toISOString();

export function jobs({ empty = false } = {}) {
  const schedules = new Map();
  let letters = [];
  const add = (wanted, runs = []) => {
    const schedule = { id: randomUUID(), zone: "UTC", missed: "run_once", body: {}, paused: false, version: 1, ...wanted, runs };
    schedules.set(schedule.id, schedule);
    return schedule;
  };
  const run = (state, s, more = {}) => ({ id: randomUUID(), due_at: ago(s), by_hand: false, state, attempts: 1, error: null, ended_at: ago(s - 1), ...more });
  if (!empty) {
    add({ cron: "30 3 * * *", zone: "Europe/Berlin", service: "glitch", path: "/v1/sweep" }, [run("succeeded", 30_000), run("failed", 116_400, { attempts: 8, error: "glitch answered 500: the disk is full" })]);
    add({ cron: "0 * * * *", service: "streaming-service-v2", path: "/v1/a-path-that-is-rather-long-for-a-path/of-something" }, [run("failed", 900, { attempts: 8, error: "the service answered 404: no such thing" })]);
    add({ cron: "0 0 1 1 *", service: "user-auth", path: "/v1/yearly", paused: true });
    letters = [{ id: randomUUID(), service: "glitch", what: "job", body: '{"hook":"x","title":"a rather long title"}', attempts: 8, error: "the other side answered 503" }];
  }
  const told = ({ runs, ...schedule }) => ({ ...schedule, next_at: schedule.paused ? null : ago(-3600) });
  const mails = empty ? [] : [
    { id: "m2", at: ago(60), to: "ada@example.org", title: "Nexus COS: Sign in", text: "Somebody, you we hope, has asked for this link at http://127.0.0.1:3000. It signs you in as ada, once, within 15 minutes:\n\nhttp://127.0.0.1:3000/account#enter=0123456789abcdefghijklmnopqrstuvwxyzABCDEF\n\nIf that was not you, there is nothing to do." },
    { id: "m1", at: ago(7200), to: "somebody-with-a-long-address@a-rather-long-name.example.org", title: "cos.platform.issue.new.v1: something broke", text: '{\n  "type": "cos.platform.issue.new.v1"\n}' },
  ];
  const settings = [
    ["edge.http.listen", "127.0.0.1:8888", null], ["gateway.listen", "127.0.0.1:3000", "NEXUS__GATEWAY__LISTEN"], ["gateway.token", "***", "/etc/nexus/nexus.toml:12"],
    ["origin.stream.part_ms", 500, "/etc/nexus/nexus.toml:3"], ["origin.store.cloud.url", null, null], ["playback.protect", ["members/*", "live/show"], "/etc/nexus/nexus.toml:20"],
  ].map(([key, value, place]) => ({ key, value, place }));

  const list = (items) => ({ items, next_cursor: null });
  function schedule(method, [id, part], body) {
    if (!id) {
      if (method === "GET") return list([...schedules.values()].map(told));
      if (body.cron.split(" ").length < 5) throw invalid(["/cron", "has five fields, or six"]);
      return told(add(body));
    }
    const found = schedules.get(id);
    if (!found) throw new Problem(404, "not-found", "no such schedule");
    if (part === "runs" && method === "GET") return list(found.runs.map((each) => (each.state === "waiting" && Date.now() - Date.parse(each.due_at) > RUN_MS ? Object.assign(each, { state: "succeeded", attempts: 1, ended_at: ago(0) }) : each)));
    if (part === "runs") return found.runs.unshift(run("waiting", 0, { by_hand: true, attempts: 0, ended_at: null })), found.runs[0];
    if (method === "DELETE") return schedules.delete(id), {};
    return told(Object.assign(found, body, { version: found.version + 1 }));
  }

  return {
    takes: ({ pathname }) => [SCHEDULES, MAILS, SETTINGS].some((place) => pathname.startsWith(place)) || pathname === "/api/" || pathname.includes("/dead-letters"),
    /** Answers operators, null while that is everybody. */
    answer(method, { pathname }, body, who) {
      if (who && !who.user.roles.includes("operator")) throw new Problem(403, "forbidden", "only operators may");
      if (pathname === "/api/") return list(["glitch", "user-auth", "scheduler", "streaming-service-v2"].map((id) => ({ id, built: true })));
      const [, service, place, letter] = pathname.slice(1).split("/");
      if (place === "dead-letters" && letter) return (letters = letters.filter(({ id }) => id !== letter)), {};
      if (place === "dead-letters") return list(letters.filter((each) => each.service === service));
      if (pathname === SETTINGS) return list(settings);
      if (pathname === MAILS) return { by_server: false, items: mails.map(({ text, ...each }) => each) };
      if (pathname.startsWith(MAILS)) return mails.find(({ id }) => pathname.endsWith(`/${id}`)) ?? {};
      return schedule(method, pathname.slice(SCHEDULES.length + 1).split("/"), body);
    },
  };
}
