-- What workers say of themselves, so that status can show one that is paused or silent. Runs as the administrator.
--
-- A worker writes its own line, through a function, and reads none: it holds no organisation's data, and no worker needs
-- to know of the others. The function belongs to a role that has this one table.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'recording_reporter') THEN
        CREATE ROLE recording_reporter NOLOGIN NOINHERIT;
    ELSIF EXISTS (SELECT FROM pg_catalog.pg_roles
                  WHERE rolname = 'recording_reporter' AND (rolsuper OR rolbypassrls)) THEN
        RAISE EXCEPTION 'role recording_reporter is superuser or has BYPASSRLS'
            USING HINT = 'ALTER ROLE recording_reporter NOSUPERUSER NOBYPASSRLS, then migrate again';
    END IF;
    IF NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('GRANT recording_reporter TO %I', current_user);
    END IF;
END
$$;

SET LOCAL ROLE recordings_owner;

CREATE TABLE app.workers (
    -- As in recording_upload_queue.worker.
    name         text PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 255),
    started_at   timestamptz NOT NULL,
    seen_at      timestamptz NOT NULL,
    slots        integer NOT NULL CHECK (slots >= 0),
    busy         integer NOT NULL CHECK (busy >= 0),
    -- Why it starts no copies (a code of the store's), and since when.
    paused_code  text CHECK (length(paused_code) <= 64),
    paused_at    timestamptz,
    -- Since when it has heard no doorbell although some waited: it is replacing itself.
    deaf_at      timestamptz,
    CHECK ((paused_code IS NULL) = (paused_at IS NULL))
);
ALTER TABLE app.workers ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.workers FORCE ROW LEVEL SECURITY;

CREATE POLICY reporter ON app.workers TO recording_reporter USING (true) WITH CHECK (true);
CREATE POLICY operators ON app.workers FOR SELECT TO recording_ops USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON app.workers TO recording_reporter;
GRANT SELECT ON app.workers TO recording_ops;
GRANT USAGE ON SCHEMA app TO recording_ops;
GRANT USAGE, CREATE ON SCHEMA app TO recording_reporter;

SET LOCAL ROLE recording_reporter;

-- Workers. One line, now. How long things have lasted and not since when: clocks of hosts differ, this one's is used.
-- A worker that is gone for an hour is forgotten, one that leaves (`leaving`) at once. A thousand are remembered at most.
CREATE FUNCTION app.report_worker(
    name         text,
    up_s         double precision,
    slots        integer,
    busy         integer,
    paused_code  text             DEFAULT NULL,
    paused_s     double precision DEFAULT NULL,
    deaf_s       double precision DEFAULT NULL,
    leaving      boolean          DEFAULT false
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    known constant text := left(report_worker.name, 255);
BEGIN
    DELETE FROM app.workers AS w
    WHERE w.seen_at < now() - interval '1 hour' OR report_worker.leaving AND w.name = known;
    IF report_worker.leaving OR (
        NOT EXISTS (SELECT FROM app.workers AS w WHERE w.name = known) AND (SELECT count(*) FROM app.workers) >= 1000
    ) THEN
        RETURN;
    END IF;
    INSERT INTO app.workers AS w (name, started_at, seen_at, slots, busy, paused_code, paused_at, deaf_at)
    SELECT known, app.seconds_ago(coalesce(report_worker.up_s, 0)), now(), greatest(report_worker.slots, 0),
           greatest(report_worker.busy, 0), left(report_worker.paused_code, 64),
           CASE WHEN report_worker.paused_code IS NOT NULL THEN app.seconds_ago(coalesce(report_worker.paused_s, 0)) END,
           app.seconds_ago(report_worker.deaf_s)
    ON CONFLICT (name) DO UPDATE SET
        started_at = excluded.started_at, seen_at = excluded.seen_at, slots = excluded.slots, busy = excluded.busy,
        paused_code = excluded.paused_code, paused_at = excluded.paused_at, deaf_at = excluded.deaf_at;
END
$$;

-- Within the last hundred years: an interval takes no infinity.
CREATE FUNCTION app.seconds_ago(s double precision) RETURNS timestamptz
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT now() - make_interval(secs => greatest(0, least(s, 3e9)))
$$;

REVOKE ALL ON FUNCTION app.report_worker, app.seconds_ago FROM PUBLIC, anon, authenticated;
GRANT EXECUTE ON FUNCTION app.report_worker TO recording_worker;

SET LOCAL ROLE recordings_owner;

REVOKE CREATE ON SCHEMA app FROM recording_reporter;
