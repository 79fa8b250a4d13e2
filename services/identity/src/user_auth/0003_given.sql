-- Whether a directory has made somebody, and so may give them a password.
ALTER TABLE scim_user ADD COLUMN made BIGINT NOT NULL DEFAULT 0;
