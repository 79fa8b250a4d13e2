// The part of the stand-in server (mock.mjs) that knows channels: keys, members, broadcasts, targets, leases, all in memory. A channel that is
// live shows the picture of /live/cam1. For development only.
import { randomBytes, randomUUID } from "node:crypto";
import { Problem, invalid } from "./identity.mjs";

const BASE = "/api/streaming-service-v2/v1/channels";
const LEASES = "/api/session-mgr/v1/playback-leases";
const LEASES_MAX = 3;
const READY_MS = 2500;

const ago = (s) => new Date(Date.now() - s * 1000).toISOString();

/** `people` tells who asks, `groups` what organisations they are in; `streams()` is the list of the core; `origin` is where the watch page is. */
export function channels({ people, groups, streams, origin, empty = false }) {
  const all = new Map();
  const leases = new Map();

  const add = (owner, handle, title, members_only, more = {}) => {
    const channel = { id: randomUUID(), owner_id: owner, handle, title: title || handle, members_only, stream: `${members_only ? "members" : "channels"}/${handle}`,
      created_at: ago(0), version: 1, networks: [], token_s: 21_600, keys: [], members: [], broadcasts: [], targets: [], like: null, ...more };
    all.set(channel.id, channel);
    return channel;
  };
  const key = (name, backup = false) => ({ id: randomUUID(), name, backup, created_at: ago(0), at: Date.now() });
  const broadcast = (title, state, more = {}) => ({ id: randomUUID(), title, description: "", state, planned_at: null, started_at: null, ended_at: null, viewers_peak: 0, markers: [], clips: [], ...more });
  const clip = (title, from, to) => ({ id: randomUUID(), title, from, to, created_at: ago(0), hls_path: "/live/cam1/index.m3u8", dash_path: "/live/cam1/manifest.mpd", mp4_path: "/members/evening-show/video.mp4?start=1&end=2" });
  if (!empty) {
    const [anna, ben] = ["anna", "ben"].map((handle) => people.called(handle)?.id ?? "local");
    add(anna, "evening-show", "The evening show", true, { like: "live/cam1", keys: [{ ...key("OBS in the studio"), at: 0 }, { ...key("The encoder beside it", true), at: 0 }],
      members: [{ user_id: "m1", handle: "ben", name: "Ben Okafor", since: ago(86_400) }, { user_id: "m2", handle: "viewer1", name: "", since: ago(3600) }],
      broadcasts: [broadcast("Tomorrow's show", "scheduled", { planned_at: ago(-86_400) }),
        broadcast("Tonight's show", "live", { started_at: ago(900), viewers_peak: 17, markers: [{ id: randomUUID(), kind: "chapter", label: "The first guest", at: ago(600), announced: "yes" }] }),
        broadcast("Yesterday's show", "ended", { started_at: ago(90_000), ended_at: ago(86_400), viewers_peak: 12, clips: [clip("The best of it", ago(88_000), ago(87_970))] })],
      targets: [{ id: randomUUID(), name: "Elsewhere", url: "rtmps://live.example/app/***", created_at: ago(900), state: "live" }] });
    add(anna, "arena", "Arena, all matches", false, { like: "live/arena" });
    add(anna, "roof", "The camera on the roof with a title that is rather long for a title", false, { like: "live/roof-camera-with-a-rather-long-name" });
    add(ben, "bens-corner", "Ben's corner", false);
  }

  const shown = (channel, who) => {
    const { keys, members, broadcasts, targets, like, networks, token_s, ...told } = channel;
    const org = channel.org_id && groups.of(channel.org_id, who?.user);
    const right = owns(channel, who) ? (org?.role === "publisher" ? "publish" : "own") : "watch";
    return { ...told, right, mine: right !== "watch", ...(org ? { org: { id: org.id, handle: org.handle, name: org.name } } : {}), live: standing(channel)?.state === "live" };
  };
  const owns = (channel, who) => !who || who.user.roles.includes("operator") || who.user.id === channel.owner_id || (channel.org_id && groups.of(channel.org_id, who.user) !== undefined);
  const standing = ({ like, stream }) => {
    const item = like && streams().items.find((each) => each.key === like);
    return item ? { ...item, key: stream } : null;
  };
  const known = (id) => {
    const channel = all.get(id);
    if (!channel) throw new Problem(404, "not-found", "there is no such channel, or it is not for you");
    return channel;
  };

  const policy = ({ members_only, networks, token_s }) => ({ access: members_only ? "members" : "public", networks, token_s });

  /** By method and path, with who asks and the parts of the path that are ids. */
  const routes = {
    "GET ": ({ who }) => ({ items: [...all.values()].reverse().filter((each) => !each.members_only || owns(each, who)).map((each) => shown(each, who)), next_cursor: null }),
    "POST ": ({ who, body }) => {
      if (who && !who.user.roles.some((role) => role !== "viewer")) throw new Problem(403, "forbidden", "this is for creators");
      if (!/^[a-z0-9][a-z0-9-]{1,28}[a-z0-9]$/.test(body.handle)) throw invalid(["/handle", "has 3 to 30 characters of a-z 0-9 - and begins and ends with a letter or digit"]);
      if ([...all.values()].some((each) => each.handle === body.handle)) throw new Problem(409, "taken", "this name is taken: choose another");
      return shown(add(who?.user.id ?? "local", body.handle, body.title, body.members_only, body.org_id ? { owner_id: undefined, org_id: body.org_id } : {}), who);
    },
    "PATCH /ID": ({ channel, body, who }) => {
      [channel.title, channel.version] = [body.title, channel.version + 1];
      return shown(channel, who);
    },
    "DELETE /ID": ({ channel }) => (all.delete(channel.id), {}),
    "GET /ID/live": ({ channel }) => ({ ingest: streams().server.ingest, stream: standing(channel) }),
    "GET /ID/stream-keys": ({ channel }) => ({ items: channel.keys.map(({ at, ...each }) => ({ ...each, ready: Date.now() - at > READY_MS })), next_cursor: null }),
    "POST /ID/stream-keys": ({ channel, body }) => {
      const made = key(body.name, body.backup);
      channel.keys.unshift(made);
      const { at, ...told } = made;
      return { ...told, ready: false, key: randomBytes(24).toString("base64url") };
    },
    "DELETE /ID/stream-keys/ID": ({ channel, second }) => ((channel.keys = channel.keys.filter((each) => each.id !== second)), {}),
    "GET /ID/members": ({ channel }) => ({ items: channel.members, next_cursor: null }),
    "POST /ID/members": ({ channel, body }) => {
      const user = people.called(body.handle);
      if (!user) throw invalid(["/handle", "nobody is called that here"]);
      const member = { user_id: user.id, handle: user.handle, name: user.name, since: ago(0) };
      channel.members = [...channel.members.filter((each) => each.user_id !== user.id), member];
      return member;
    },
    "DELETE /ID/members/ID": ({ channel, second }) => ((channel.members = channel.members.filter((each) => each.user_id !== second)), {}),
    "GET /ID/broadcasts": ({ channel }) => ({ items: channel.broadcasts.map(({ markers, clips, ...told }) => told), next_cursor: null }),
    "POST /ID/broadcasts": ({ channel, body }) => {
      const made = broadcast(body.title || channel.title, "scheduled", { planned_at: body.planned_at });
      channel.broadcasts.unshift(made);
      return made;
    },
    "DELETE /ID/broadcasts/ID": ({ channel, second }) => ((channel.broadcasts = channel.broadcasts.filter((each) => each.id !== second)), {}),
    "POST /ID/broadcasts/ID/start": ({ of }) => Object.assign(of, { state: "live", started_at: ago(0) }),
    "POST /ID/broadcasts/ID/end": ({ of }) => Object.assign(of, { state: "ended", ended_at: ago(0) }),
    "GET /ID/broadcasts/ID/markers": ({ of }) => ({ items: of.markers, next_cursor: null }),
    "POST /ID/broadcasts/ID/markers": ({ of, body }) => {
      const made = { id: randomUUID(), kind: "chapter", label: body.label, at: ago(0), announced: "yes" };
      of.markers.push(made);
      return made;
    },
    "DELETE /ID/broadcasts/ID/markers/ID": ({ of, fourth }) => ((of.markers = of.markers.filter((each) => each.id !== fourth)), {}),
    "GET /ID/broadcasts/ID/clips": ({ of }) => ({ items: of.clips, next_cursor: null }),
    "POST /ID/broadcasts/ID/clips": ({ of, body }) => {
      const made = clip(body.title || of.title, body.from ?? ago(body.last_s), body.to ?? ago(0));
      of.clips.unshift(made);
      return made;
    },
    "DELETE /ID/broadcasts/ID/clips/ID": ({ of, fourth }) => ((of.clips = of.clips.filter((each) => each.id !== fourth)), {}),
    "GET /ID/playback-policy": ({ channel }) => policy(channel),
    "PUT /ID/playback-policy": ({ channel, body }) => {
      if (body.networks.some((each) => !/^[\da-f.:]+(\/\d+)?$/i.test(each))) throw invalid(["/networks/0", "is an address or a network, such as 192.0.2.7 or 2001:db8::/32"]);
      Object.assign(channel, { networks: body.networks, token_s: body.token_s, version: channel.version + 1 });
      return policy(channel);
    },
    "GET /ID/simulcast-targets": ({ channel }) => ({ items: channel.targets, next_cursor: null }),
    "POST /ID/simulcast-targets": ({ channel, body }) => {
      const made = { id: randomUUID(), name: body.name, url: body.url.replace(/[^/]*$/, "***"), created_at: ago(0), state: "waiting" };
      channel.targets.push(made);
      return made;
    },
    "DELETE /ID/simulcast-targets/ID": ({ channel, second }) => ((channel.targets = channel.targets.filter((each) => each.id !== second)), {}),
    "POST /ID/playback": ({ channel }) => {
      const urls = { hls: `${origin}/live/cam1/index.m3u8`, dash: `${origin}/live/cam1/manifest.mpd`, watch: `${origin}/watch/live/cam1` };
      if (!channel.members_only) return { stream: channel.stream, urls };
      if (leases.size >= LEASES_MAX) throw new Problem(409, "streams-max", `${LEASES_MAX} streams are watched already: ${[...leases.values()].join(", ")}; end one of them first`);
      const lease_id = randomUUID();
      leases.set(lease_id, channel.stream);
      return { stream: channel.stream, urls, token: { token: "t", id: "t", expires_at: ago(-21_600), lasts_s: 21_600, lease_id } };
    },
    "DELETE /ID/playback": () => (leases.clear(), {}),
  };

  function lease(method, id) {
    if (!leases.has(id)) throw new Problem(404, "not-found", "there is no such lease, or it has run out: take another");
    if (method === "DELETE") leases.delete(id);
    return {};
  }

  return {
    takes: ({ pathname }) => pathname.startsWith(BASE) || pathname.startsWith(LEASES),
    /** Answers with who asks, null while that is everybody. */
    answer(method, { pathname }, body, who) {
      if (pathname.startsWith(LEASES)) return lease(method, pathname.slice(LEASES.length + 1));
      const [, id, part, second, third, fourth] = pathname.slice(BASE.length).split("/");
      const route = routes[`${method} ${[id && "/ID", part && `/${part}`, second && "/ID", third && `/${third}`, fourth && "/ID"].filter(Boolean).join("")}`];
      if (!route) throw new Problem(404, "not-found", "nothing has this address");
      const channel = id && known(id);
      if (channel && part !== "playback" && !owns(channel, who)) throw new Problem(403, "forbidden", "this channel is somebody else's");
      return route({ channel, second, fourth, of: channel?.broadcasts.find((each) => each.id === second), body, who });
    },
  };
}
