-- Lanes that nobody holds are found in the order in which they are claimed: where thousands came free
-- at once, each claim of some of them sorted all.
DROP INDEX lanes_by_lease;
CREATE INDEX lanes_by_lease ON lanes (lease_until, webhook_id);
