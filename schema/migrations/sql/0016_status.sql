-- What has failed is counted by an index of its own, as what waits and what is in work are: `recordings status` reads no
-- row. Only failed rows have an entry, so an upload that succeeds writes nothing here.
--
-- No failed row has a lease, by a check of the table. It is said for the planner: or a settlement, which looks for one
-- failed row by its id, would walk all of its organisation's in this index, where there were none when it was analyzed.
CREATE INDEX recording_upload_queue_failed ON public.recording_upload_queue (org_id)
    WHERE status = 'failed' AND lease_expires_at IS NULL;
