-- The thumbprint of the key that the app must hold.
ALTER TABLE family ADD COLUMN jkt TEXT;
