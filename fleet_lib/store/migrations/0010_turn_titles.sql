-- What a turn is called: the first line that a person wrote.

ALTER TABLE turns ADD COLUMN title TEXT /* one line, redacted; NULL: none is known */;
