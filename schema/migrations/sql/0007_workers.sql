-- What workers say of themselves, so that status can show one that is paused or has gone silent.

SET LOCAL ROLE recordings_owner;
