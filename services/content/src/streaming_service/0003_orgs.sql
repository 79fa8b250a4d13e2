-- A channel is a person's, or an organisation's: then owner_id is empty.
ALTER TABLE channel ADD COLUMN org_id TEXT;
CREATE INDEX channel_of_org ON channel (org_id, id);
-- Who knows a key.
ALTER TABLE stream_key ADD COLUMN maker_id TEXT NOT NULL DEFAULT '';
UPDATE stream_key SET maker_id = COALESCE((SELECT owner_id FROM channel WHERE channel.id = stream_key.channel_id), '');
CREATE INDEX stream_key_by ON stream_key (maker_id);
-- Who has made a target, and may have it sent to themselves.
ALTER TABLE target ADD COLUMN maker_id TEXT NOT NULL DEFAULT '';
UPDATE target SET maker_id = COALESCE((SELECT owner_id FROM channel WHERE channel.id = target.channel_id), '');
CREATE INDEX target_by ON target (maker_id);
-- Organisations and who is in them, as user-auth tells; what is older than the version says nothing new.
CREATE TABLE org (id TEXT PRIMARY KEY, handle TEXT NOT NULL, name TEXT NOT NULL, version BIGINT NOT NULL, deleted BIGINT NOT NULL);
CREATE TABLE org_member (org_id TEXT NOT NULL, user_id TEXT NOT NULL, role TEXT NOT NULL, PRIMARY KEY (org_id, user_id));
CREATE INDEX org_member_of ON org_member (user_id, org_id);
