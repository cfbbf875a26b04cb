-- What an owner's browser spoke at the last sign-in: the language of mails to who chose none.

ALTER TABLE owners ADD COLUMN seen_language TEXT NOT NULL DEFAULT '';
