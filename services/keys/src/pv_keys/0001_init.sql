CREATE TABLE private_key (name TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, place TEXT NOT NULL,
    sealed BYTEA NOT NULL, public BYTEA NOT NULL, owner TEXT NOT NULL, root BIGINT NOT NULL, approvals BIGINT NOT NULL,
    at_ms BIGINT NOT NULL, entrusted_ms BIGINT, destroyed_ms BIGINT);
CREATE TABLE custodian (key TEXT NOT NULL, person TEXT NOT NULL, PRIMARY KEY (key, person));
CREATE TABLE ceremony (id TEXT PRIMARY KEY, key TEXT NOT NULL, action TEXT NOT NULL, needs BIGINT NOT NULL, opened_by TEXT NOT NULL,
    state TEXT NOT NULL, at_ms BIGINT NOT NULL, expires_ms BIGINT NOT NULL, ended_ms BIGINT);
CREATE INDEX ceremony_key ON ceremony (key, state);
CREATE TABLE approval (ceremony TEXT NOT NULL, person TEXT NOT NULL, at_ms BIGINT NOT NULL, PRIMARY KEY (ceremony, person));
-- Who has changed what they sign in with, or had it changed: they approve nothing until then.
CREATE TABLE changed (person TEXT PRIMARY KEY, until_ms BIGINT NOT NULL);
CREATE TABLE authority (name TEXT PRIMARY KEY, key TEXT NOT NULL UNIQUE, common_name TEXT NOT NULL, certificate BYTEA NOT NULL,
    expires_ms BIGINT NOT NULL, crl BIGINT NOT NULL, at_ms BIGINT NOT NULL);
CREATE TABLE certificate (serial TEXT PRIMARY KEY, authority TEXT NOT NULL, common_name TEXT NOT NULL, names TEXT NOT NULL,
    certificate BYTEA NOT NULL, at_ms BIGINT NOT NULL, expires_ms BIGINT NOT NULL, revoked_ms BIGINT);
CREATE INDEX certificate_authority ON certificate (authority, serial);
CREATE TABLE audit (id TEXT PRIMARY KEY, at_ms BIGINT NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL, key TEXT NOT NULL,
    detail TEXT NOT NULL);
CREATE INDEX audit_at ON audit (at_ms);
