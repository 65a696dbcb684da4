-- The way back from a failed upload: what operators may do, and the trail that it leaves.

SET LOCAL ROLE recordings_owner;
