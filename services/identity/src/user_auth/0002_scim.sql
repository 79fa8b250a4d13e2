ALTER TABLE person ADD COLUMN user_name TEXT;
ALTER TABLE person ADD COLUMN changed_ms BIGINT;
UPDATE person SET user_name = handle, changed_ms = at_ms;
CREATE UNIQUE INDEX person_user_name ON person (user_name);
CREATE TABLE scim_user (id TEXT PRIMARY KEY, external_id TEXT, attributes TEXT NOT NULL);
CREATE INDEX scim_user_external ON scim_user (external_id);
CREATE TABLE scim_group (id TEXT PRIMARY KEY, name TEXT NOT NULL, external_id TEXT, at_ms BIGINT NOT NULL,
    changed_ms BIGINT NOT NULL, version BIGINT NOT NULL);
CREATE INDEX scim_group_external ON scim_group (external_id);
CREATE TABLE scim_member (group_id TEXT NOT NULL, person_id TEXT NOT NULL, PRIMARY KEY (group_id, person_id));
CREATE INDEX scim_member_person ON scim_member (person_id);
