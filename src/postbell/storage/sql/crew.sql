-- name: put_member
-- The process is there as given.
INSERT INTO processes (name, machine, pid, role, version, started_at, work, behind, unheld, until)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
ON CONFLICT (name) DO UPDATE SET role = excluded.role, work = excluded.work, behind = excluded.behind,
    unheld = excluded.unheld, until = excluded.until;

-- name: drop_member
-- The process is not there.
DELETE FROM processes WHERE name = ?1;

-- name: drop_members
-- Nothing is known of processes that were there before ?1 only, nor of those that are to be there
-- after ?2: they said so before the clock was set back.
DELETE FROM processes WHERE until < ?1 OR until > ?2;

-- name: members
-- The processes that are there at ?1.
SELECT name, machine, pid, role, version, started_at, work, behind, unheld, until
FROM processes WHERE until > ?1 ORDER BY name;

-- name: take_duty
-- ?2 does the duty ?1 until ?3; no row where another one does at ?4.  A lease that ends
-- after ?5 is from before the clock was set back.
INSERT INTO leases (name, owner, until, epoch) VALUES (?1, ?2, ?3, 1)
ON CONFLICT (name) DO UPDATE SET
    epoch = CASE WHEN leases.owner = excluded.owner THEN leases.epoch ELSE leases.epoch + 1 END,
    mark = CASE WHEN leases.owner = excluded.owner AND ?6 <> '' THEN ?6 ELSE leases.mark END,
    owner = excluded.owner, until = excluded.until
WHERE leases.owner = ?2 OR leases.until <= ?4 OR leases.until > ?5
RETURNING epoch, mark;

-- name: leave_duties
-- ?1 does nothing that only one process does.
UPDATE leases SET owner = '', until = 0 WHERE owner = ?1;

-- name: free_duties
-- Nobody does what only one process does.
UPDATE leases SET owner = '', until = 0 WHERE owner <> '';

-- name: duties
-- Who does what only one process does.
SELECT name, owner, epoch, until FROM leases ORDER BY name;

-- name: holdings
-- How many lanes each process holds.
SELECT owner, count(*) FROM lanes GROUP BY owner ORDER BY owner;

-- name: lane_holders
-- Who holds each of the first ?2 lanes of webhooks after ?1.
SELECT webhook_id, owner, epoch, lease_until FROM lanes WHERE webhook_id > ?1
ORDER BY webhook_id LIMIT ?2;
