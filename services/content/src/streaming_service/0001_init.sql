CREATE TABLE channel (id TEXT PRIMARY KEY, owner_id TEXT NOT NULL, handle TEXT NOT NULL UNIQUE, title TEXT NOT NULL,
    members_only BIGINT NOT NULL, at_ms BIGINT NOT NULL, deleted BIGINT NOT NULL, version BIGINT NOT NULL,
    turn BIGINT NOT NULL);
CREATE INDEX channel_of ON channel (owner_id, id);
-- What the core does not know yet has told = 0.
CREATE TABLE stream_key (id TEXT PRIMARY KEY, channel_id TEXT NOT NULL, stream TEXT NOT NULL, name TEXT NOT NULL,
    backup BIGINT NOT NULL, hash TEXT NOT NULL, at_ms BIGINT NOT NULL, deleted BIGINT NOT NULL, told BIGINT NOT NULL);
CREATE INDEX stream_key_of ON stream_key (channel_id, id);
CREATE INDEX stream_key_to_tell ON stream_key (told, id);
CREATE TABLE member (channel_id TEXT NOT NULL, user_id TEXT NOT NULL, handle TEXT NOT NULL, name TEXT NOT NULL,
    at_ms BIGINT NOT NULL, PRIMARY KEY (channel_id, user_id));
CREATE INDEX member_of ON member (user_id);
-- A token that was given out: 0 holds, 1 the core is to be told that it does not, 2 it has been told.
CREATE TABLE playback (token_id TEXT PRIMARY KEY, channel_id TEXT NOT NULL, user_id TEXT NOT NULL, session_id TEXT,
    lease_id TEXT NOT NULL, ends_ms BIGINT NOT NULL, ended BIGINT NOT NULL);
CREATE INDEX playback_in ON playback (channel_id, user_id);
CREATE INDEX playback_of ON playback (user_id);
CREATE INDEX playback_by ON playback (lease_id);
CREATE INDEX playback_to_tell ON playback (ended, token_id);
-- What somebody may, whatever an access token of theirs says for some minutes yet; and the turn at deciding about them.
CREATE TABLE person (user_id TEXT PRIMARY KEY, turn BIGINT NOT NULL, shut BIGINT NOT NULL, creates BIGINT NOT NULL);
-- Sessions and leases that have ended a short while ago: what is being made on them comes to nothing.
CREATE TABLE ended (id TEXT PRIMARY KEY, at_ms BIGINT NOT NULL);
CREATE INDEX ended_at ON ended (at_ms);
