-- What a sweep of the storage found: objects without a row, rows without their object.

SET LOCAL ROLE recordings_owner;
