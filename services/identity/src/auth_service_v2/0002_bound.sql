-- The thumbprint of the key that the app must hold to redeem the code.
ALTER TABLE code ADD COLUMN jkt TEXT;
