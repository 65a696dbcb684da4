-- What a sweep of the storage found: objects without a row, rows without their object. Runs as the administrator.
--
-- A sweep compares one organisation's part of the bucket with its rows, under its task grant. The dispatcher is its clock
-- and sees when, of whom and nothing else; what was found stands in app.storage_findings, for operators.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'recording_sweep_requester') THEN
        CREATE ROLE recording_sweep_requester NOLOGIN NOINHERIT;
    ELSIF EXISTS (SELECT FROM pg_catalog.pg_roles
                  WHERE rolname = 'recording_sweep_requester' AND (rolsuper OR rolbypassrls)) THEN
        RAISE EXCEPTION 'role recording_sweep_requester is superuser or has BYPASSRLS'
            USING HINT = 'ALTER ROLE recording_sweep_requester NOSUPERUSER NOBYPASSRLS, then migrate again';
    END IF;
    IF NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('GRANT recording_sweep_requester TO %I', current_user);
    END IF;
END
$$;

GRANT USAGE ON SCHEMA public TO recording_sweep_requester;

SET LOCAL ROLE recordings_owner;

-- Rows beside the listing, both in the order of their bytes: whatever the database's own order, S3 lists in this one.
CREATE INDEX recording_upload_queue_object
    ON public.recording_upload_queue (org_id, object_key COLLATE "C") WHERE object_key IS NOT NULL;

-- How an organisation's sweeps stand: rung for by the dispatcher, claimed by a worker for a lease, carried on from
-- reached_key by the next one if that worker stopped midway.
CREATE TABLE app.sweeps (
    org_id        uuid PRIMARY KEY REFERENCES public.organizations (id),
    requested_at  timestamptz,
    rung_at       timestamptz,
    -- By the worker that has it: also its fence.
    claimed_at    timestamptz,
    leased_until  timestamptz,
    -- Of the sweep at hand; it is at its end when swept_at is later.
    begun_at      timestamptz,
    reached_key   text NOT NULL DEFAULT '',
    -- Up to which key checksums have been looked at, a sample a time.
    checked_key   text NOT NULL DEFAULT '',
    swept_at      timestamptz
);

-- One open row for each thing that is wrong. upload_id is the one that the key names: there need be no such row.
CREATE TABLE app.storage_findings (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    org_id         uuid NOT NULL REFERENCES public.organizations (id),
    upload_id      uuid,
    object_key     text NOT NULL,
    code           text NOT NULL CHECK (code IN ('object_orphaned', 'multipart_stale', 'object_missing',
                                                 'object_differs', 'object_unknown')),
    action         text NOT NULL CHECK (action IN ('reported', 'quarantined', 'aborted', 'restored')),
    first_seen_at  timestamptz NOT NULL DEFAULT now(),
    last_seen_at   timestamptz NOT NULL DEFAULT now(),
    -- When a later sweep saw it no more.
    resolved_at    timestamptz
);
CREATE UNIQUE INDEX storage_findings_open
    ON app.storage_findings (org_id, object_key, code) WHERE resolved_at IS NULL;
CREATE INDEX storage_findings_org_id ON app.storage_findings (org_id, last_seen_at);

ALTER TABLE app.sweeps ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.sweeps FORCE ROW LEVEL SECURITY;
ALTER TABLE app.storage_findings ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.storage_findings FORCE ROW LEVEL SECURITY;
CREATE TRIGGER refuse_org_change BEFORE UPDATE ON app.sweeps FOR EACH ROW
    WHEN (OLD.org_id IS DISTINCT FROM NEW.org_id) EXECUTE FUNCTION app.refuse_org_change();
CREATE TRIGGER refuse_org_change BEFORE UPDATE ON app.storage_findings FOR EACH ROW
    WHEN (OLD.org_id IS DISTINCT FROM NEW.org_id) EXECUTE FUNCTION app.refuse_org_change();

GRANT USAGE ON SCHEMA app TO recording_dispatcher, recording_ops;

-- Workers: the organisation of their grant.
GRANT SELECT, UPDATE (claimed_at, leased_until, begun_at, reached_key, checked_key, swept_at)
    ON app.sweeps TO recording_worker;
GRANT SELECT, INSERT (org_id, upload_id, object_key, code, action), UPDATE (action, last_seen_at, resolved_at)
    ON app.storage_findings TO recording_worker;
CREATE POLICY granted_organization ON app.sweeps TO recording_worker
    USING (org_id = (SELECT app.task_org_id())) WITH CHECK (org_id = (SELECT app.task_org_id()));
CREATE POLICY granted_organization ON app.storage_findings TO recording_worker
    USING (org_id = (SELECT app.task_org_id())) WITH CHECK (org_id = (SELECT app.task_org_id()));

-- Dispatcher: times, of every organisation.
GRANT SELECT (created_at) ON public.organizations TO recording_dispatcher;
GRANT SELECT (org_id, requested_at, rung_at, claimed_at, leased_until, begun_at, swept_at), INSERT (org_id, rung_at),
    UPDATE (rung_at) ON app.sweeps TO recording_dispatcher;
CREATE POLICY clock ON app.sweeps FOR SELECT TO recording_dispatcher USING (true);
CREATE POLICY clock_insert ON app.sweeps FOR INSERT TO recording_dispatcher WITH CHECK (true);
CREATE POLICY clock_update ON app.sweeps FOR UPDATE TO recording_dispatcher USING (true) WITH CHECK (true);

-- Operators: they read; a sweep is asked for by the function below.
GRANT SELECT ON app.sweeps, app.storage_findings TO recording_ops;
CREATE POLICY operators_read ON app.sweeps FOR SELECT TO recording_ops USING (true);
CREATE POLICY operators_read ON app.storage_findings FOR SELECT TO recording_ops USING (true);

-- The organisation that the call at hand names. Anyone can write the setting; it means nothing to any other role.
CREATE FUNCTION app.named_org_id() RETURNS uuid
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT nullif(current_setting('app.named_org_id', true), '')::uuid
$$;
REVOKE ALL ON FUNCTION app.named_org_id() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION app.named_org_id() TO recording_sweep_requester;

GRANT SELECT (id, status) ON public.organizations TO recording_sweep_requester;
GRANT SELECT (org_id, requested_at), INSERT (org_id, requested_at), UPDATE (requested_at)
    ON app.sweeps TO recording_sweep_requester;
GRANT INSERT (org_id, actor, action, reason, detail) ON public.audit_log TO recording_sweep_requester;
CREATE POLICY named_organization ON public.organizations FOR SELECT TO recording_sweep_requester
    USING (id = (SELECT app.named_org_id()));
CREATE POLICY named_organization ON app.sweeps TO recording_sweep_requester
    USING (org_id = (SELECT app.named_org_id())) WITH CHECK (org_id = (SELECT app.named_org_id()));
-- Who acted is the login, and cannot be written otherwise.
CREATE POLICY named_organization ON public.audit_log FOR INSERT TO recording_sweep_requester
    WITH CHECK (org_id = (SELECT app.named_org_id()) AND actor = session_user AND action = 'sweep_requested');

GRANT USAGE ON SCHEMA app TO recording_sweep_requester;
RESET ROLE;
GRANT CREATE ON SCHEMA public TO recording_sweep_requester;
SET LOCAL ROLE recording_sweep_requester;

-- Have an organisation's storage swept now and not when its turn comes. Returns the time of the request: the answer is a
-- sweep that began after it (app.sweeps). One that is under way goes on to its end first.
CREATE FUNCTION public.request_storage_sweep(org_id uuid, reason text) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    asked  timestamptz := clock_timestamp();
    status text;
BEGIN
    IF btrim(coalesce(request_storage_sweep.reason, '')) = '' OR length(request_storage_sweep.reason) > 500 THEN
        RAISE EXCEPTION 'reason must be 1 to 500 characters: say why, it is kept in audit_log'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM set_config('app.named_org_id', coalesce(request_storage_sweep.org_id::text, ''), true);
    SELECT o.status INTO status FROM public.organizations AS o WHERE o.id = request_storage_sweep.org_id;
    IF status IS DISTINCT FROM 'active' THEN
        RAISE EXCEPTION 'no active organisation has the id %', request_storage_sweep.org_id
            USING ERRCODE = 'invalid_parameter_value', HINT = 'see: recordings orgs list';
    END IF;
    INSERT INTO app.sweeps AS s (org_id, requested_at) VALUES (request_storage_sweep.org_id, asked)
    ON CONFLICT (org_id) DO UPDATE SET requested_at = excluded.requested_at;
    INSERT INTO public.audit_log (org_id, actor, action, reason, detail)
    VALUES (request_storage_sweep.org_id, session_user, 'sweep_requested', btrim(request_storage_sweep.reason),
        jsonb_strip_nulls(jsonb_build_object(
            'unverified_actor', left(nullif(current_setting('app.actor', true), ''), 200))));
    PERFORM pg_notify('recording_upload_queue', '');
    RETURN asked;
END
$$;

REVOKE ALL ON FUNCTION public.request_storage_sweep FROM PUBLIC, anon, authenticated;
GRANT EXECUTE ON FUNCTION public.request_storage_sweep TO recording_ops;

RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM recording_sweep_requester;
