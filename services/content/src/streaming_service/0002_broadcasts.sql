-- What is on air has been seen at seen_ms last; one of a channel at most.
CREATE TABLE broadcast (id TEXT PRIMARY KEY, channel_id TEXT NOT NULL, title TEXT NOT NULL, description TEXT NOT NULL,
    state TEXT NOT NULL, planned_ms BIGINT, started_ms BIGINT, ended_ms BIGINT, seen_ms BIGINT NOT NULL,
    viewers_peak BIGINT NOT NULL, at_ms BIGINT NOT NULL, version BIGINT NOT NULL);
CREATE INDEX broadcast_of ON broadcast (channel_id, id);
CREATE UNIQUE INDEX broadcast_on_air ON broadcast (channel_id) WHERE state IN ('live', 'away');
-- What the core does not know yet has told = 0; what it does not take, 2.
CREATE TABLE marker (id TEXT PRIMARY KEY, broadcast_id TEXT NOT NULL, stream TEXT NOT NULL, kind TEXT NOT NULL,
    label TEXT NOT NULL, at_ms BIGINT NOT NULL, told BIGINT NOT NULL);
CREATE INDEX marker_of ON marker (broadcast_id, id);
CREATE INDEX marker_to_tell ON marker (told, id);
-- Assets of the core.
CREATE TABLE clip (id TEXT PRIMARY KEY, broadcast_id TEXT NOT NULL, title TEXT NOT NULL, from_ms BIGINT NOT NULL,
    to_ms BIGINT NOT NULL, at_ms BIGINT NOT NULL, hls TEXT NOT NULL, dash TEXT NOT NULL, mp4 TEXT NOT NULL);
CREATE INDEX clip_of ON clip (broadcast_id, id);
-- Where a channel is sent on to; the address with its secret is encrypted. anywhere = 1 may lead into networks of our own.
CREATE TABLE target (id TEXT PRIMARY KEY, channel_id TEXT NOT NULL, stream TEXT NOT NULL, name TEXT NOT NULL,
    shown TEXT NOT NULL, sealed BYTEA NOT NULL, anywhere BIGINT NOT NULL, at_ms BIGINT NOT NULL,
    core_id TEXT, fault TEXT, deleted BIGINT NOT NULL, told BIGINT NOT NULL);
CREATE INDEX target_of ON target (channel_id, id);
CREATE INDEX target_to_tell ON target (told, id);
-- What a token of the channel carries: a list of networks as JSON, and how long it holds, seconds.
ALTER TABLE channel ADD COLUMN networks TEXT NOT NULL DEFAULT '[]';
ALTER TABLE channel ADD COLUMN token_s BIGINT NOT NULL DEFAULT 21600;
