-- Of one that is deleted its id and who made it are left, for nobody makes any number of them.
CREATE TABLE org (id TEXT PRIMARY KEY, handle TEXT NOT NULL, skeleton TEXT UNIQUE, name TEXT NOT NULL, made_by TEXT NOT NULL,
    at_ms BIGINT NOT NULL, deleted BIGINT NOT NULL, version BIGINT NOT NULL);
CREATE INDEX org_made ON org (made_by);
CREATE TABLE org_member (org_id TEXT NOT NULL, person_id TEXT NOT NULL, role TEXT NOT NULL, at_ms BIGINT NOT NULL,
    PRIMARY KEY (org_id, person_id));
CREATE INDEX org_member_of ON org_member (person_id, org_id);
-- Who may say yes.
CREATE TABLE org_invite (org_id TEXT NOT NULL, person_id TEXT NOT NULL, role TEXT NOT NULL, invited_by TEXT NOT NULL,
    at_ms BIGINT NOT NULL, PRIMARY KEY (org_id, person_id));
CREATE INDEX org_invite_of ON org_invite (person_id, org_id);
