-- Erasure: a recording that somebody asked to have forgotten, or whose time is over; and one that a court asks to keep.
-- Runs as the administrator.
--
-- Erasing is planned in the database, in one transaction: from then on nobody is handed the recording, and nobody fetches
-- it again. A worker then deletes what is stored, and can delete nothing that was not planned. Two roles own the functions:
-- recording_eraser can touch the one call that a call names; recording_retention_planner sees of every organisation which
-- calls' time is over, and can change nothing.

DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['recording_eraser', 'recording_retention_planner']
    LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', wanted);
        ELSIF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted AND (rolsuper OR rolbypassrls)) THEN
            RAISE EXCEPTION 'role % is superuser or has BYPASSRLS', wanted
                USING HINT = format('ALTER ROLE %I NOSUPERUSER NOBYPASSRLS, then migrate again', wanted);
        END IF;
        IF NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN
            EXECUTE format('GRANT %I TO %I', wanted, current_user);
        END IF;
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA public TO recording_eraser, recording_retention_planner;

SET LOCAL ROLE recordings_owner;

-- Null: kept without end.
ALTER TABLE public.organizations
    ADD COLUMN recording_retention_days integer CHECK (recording_retention_days BETWEEN 1 AND 36500);

ALTER TABLE public.call_logs
    DROP CONSTRAINT call_logs_recording_status_check,
    ADD CONSTRAINT call_logs_recording_status_check
        CHECK (recording_status IN ('pending', 'processing', 'completed', 'failed', 'erased')),
    ADD CHECK (recording_status IS DISTINCT FROM 'erased' OR recording_key IS NULL);
-- Whose time is over, however many are kept. It counts from when we stored it: a provider's clock could delete too early.
CREATE INDEX call_logs_retention ON public.call_logs (org_id, recording_uploaded_at)
    WHERE recording_status = 'completed' AND NOT legal_hold;

-- What leads to the recording goes with it; the row stays, with the hash and where the object was.
ALTER TABLE public.recording_upload_queue
    ADD COLUMN erased_at timestamptz,
    ADD CHECK (erased_at IS NULL OR (source_url = 'https://erased.invalid/' AND status IN ('completed', 'failed')));

-- An object that comes back after its erasure, from a worker that was thought dead, is erased again by a sweep.
ALTER TABLE app.storage_findings
    DROP CONSTRAINT storage_findings_action_check,
    ADD CONSTRAINT storage_findings_action_check
        CHECK (action IN ('reported', 'quarantined', 'aborted', 'restored', 'erased'));

-- One a call, for good.
CREATE TABLE app.erasures (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    org_id           uuid NOT NULL REFERENCES public.organizations (id),
    call_id          uuid NOT NULL,
    cause            text NOT NULL CHECK (cause IN ('requested', 'retention')),
    reason           text NOT NULL CHECK (btrim(reason) <> ''),
    created_at       timestamptz NOT NULL DEFAULT now(),
    -- For a worker: when it was put off after a failure, or how long another one has it.
    next_attempt_at  timestamptz NOT NULL DEFAULT now(),
    -- First. Something may be gone from then on: a legal hold comes too late.
    claimed_at       timestamptz,
    -- Why it is not done yet.
    error_code       text,
    erased_at        timestamptz,
    -- Versions of objects that were deleted, as far as workers lived to say so.
    objects          integer NOT NULL DEFAULT 0 CHECK (objects >= 0),
    UNIQUE (org_id, call_id),
    FOREIGN KEY (org_id, call_id) REFERENCES public.call_logs (org_id, id),
    CHECK (erased_at IS NULL OR (claimed_at IS NOT NULL AND error_code IS NULL))
);
CREATE INDEX erasures_open ON app.erasures (org_id, next_attempt_at) WHERE erased_at IS NULL;
CREATE INDEX erasures_newest ON app.erasures (created_at DESC, id);

ALTER TABLE app.erasures ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.erasures FORCE ROW LEVEL SECURITY;
CREATE TRIGGER refuse_org_change BEFORE UPDATE ON app.erasures FOR EACH ROW
    WHEN (OLD.org_id IS DISTINCT FROM NEW.org_id) EXECUTE FUNCTION app.refuse_org_change();
CREATE TRIGGER over_is_over BEFORE UPDATE ON app.erasures FOR EACH ROW
    WHEN (OLD.erased_at IS NOT NULL) EXECUTE FUNCTION app.refuse_change();

GRANT SELECT (erased_at) ON public.recording_upload_queue TO authenticated, recording_ops, recording_operator_actions;

-- Workers: the organisation of their grant. Never the reason, which may name somebody.
GRANT SELECT (id, org_id, call_id, next_attempt_at, claimed_at, erased_at, objects),
    UPDATE (next_attempt_at, claimed_at, error_code, erased_at, objects) ON app.erasures TO recording_worker;
CREATE POLICY granted_organization ON app.erasures TO recording_worker
    USING (org_id = (SELECT app.task_org_id())) WITH CHECK (org_id = (SELECT app.task_org_id()));

-- Dispatcher: of every organisation, whether something is to be erased. It marks nothing.
GRANT SELECT (org_id, next_attempt_at, error_code, erased_at) ON app.erasures TO recording_dispatcher;
CREATE POLICY clock ON app.erasures FOR SELECT TO recording_dispatcher USING (true);
GRANT SELECT (object_key) ON public.recording_exports TO recording_dispatcher;

-- Operators: they read; the functions below act for them.
GRANT SELECT ON app.erasures TO recording_ops;
CREATE POLICY operators_read ON app.erasures FOR SELECT TO recording_ops USING (true);

-- The call that a call names. Anyone can write the setting; it means nothing to any other role.
CREATE FUNCTION app.named_call_id() RETURNS uuid
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT nullif(current_setting('app.named_call_id', true), '')::uuid
$$;
REVOKE ALL ON FUNCTION app.named_call_id() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION app.named_call_id() TO recording_eraser;

GRANT SELECT (id, org_id, recording_status, recording_sha256, legal_hold),
    UPDATE (recording_status, recording_key, legal_hold) ON public.call_logs TO recording_eraser;
GRANT SELECT (id, org_id, call_id, status, error_code, object_key, size_bytes, sha256, completed_at, erased_at),
    UPDATE (status, error_code, source_url, dispatched_until, erased_at)
    ON public.recording_upload_queue TO recording_eraser;
GRANT SELECT (org_id, call_id, resolved_at), UPDATE (next_retry_at, resolved_at, resolution)
    ON public.failed_recording_uploads TO recording_eraser;
GRANT SELECT (id, org_id, call_id, export_id, status) ON public.recording_downloads TO recording_eraser;
GRANT SELECT (org_id, call_id, claimed_at), INSERT (org_id, call_id, cause, reason), DELETE
    ON app.erasures TO recording_eraser;
GRANT INSERT (org_id, actor, action, subject_id, reason, detail) ON public.audit_log TO recording_eraser;
CREATE POLICY named_call ON public.call_logs TO recording_eraser
    USING (id = (SELECT app.named_call_id())) WITH CHECK (id = (SELECT app.named_call_id()));
CREATE POLICY named_call ON public.recording_upload_queue TO recording_eraser
    USING (call_id = (SELECT app.named_call_id())) WITH CHECK (call_id = (SELECT app.named_call_id()));
CREATE POLICY named_call ON public.failed_recording_uploads TO recording_eraser
    USING (call_id = (SELECT app.named_call_id())) WITH CHECK (call_id = (SELECT app.named_call_id()));
CREATE POLICY named_call ON public.recording_downloads FOR SELECT TO recording_eraser
    USING (call_id = (SELECT app.named_call_id()));
CREATE POLICY named_call ON app.erasures TO recording_eraser
    USING (call_id = (SELECT app.named_call_id())) WITH CHECK (call_id = (SELECT app.named_call_id()));
-- Who acted is the login, and whose call it was is the call's own: neither can be written otherwise.
CREATE POLICY named_call ON public.audit_log FOR INSERT TO recording_eraser
    WITH CHECK (subject_id = (SELECT app.named_call_id()) AND actor = session_user
        AND action IN ('erasure_planned', 'erasure_withdrawn', 'recording_erased', 'legal_hold_set', 'legal_hold_released')
        AND org_id = (SELECT c.org_id FROM public.call_logs AS c WHERE c.id = (SELECT app.named_call_id())));

-- Of every organisation that does not keep its recordings without end: which are old, and not a word of them.
GRANT SELECT (id, recording_retention_days) ON public.organizations TO recording_retention_planner;
GRANT SELECT (id, org_id, recording_status, recording_uploaded_at, legal_hold) ON public.call_logs
    TO recording_retention_planner;
CREATE POLICY with_retention ON public.organizations FOR SELECT TO recording_retention_planner
    USING (recording_retention_days IS NOT NULL);
CREATE POLICY erasable ON public.call_logs FOR SELECT TO recording_retention_planner
    USING (recording_status = 'completed' AND NOT legal_hold);

-- Erased stays erased, whoever writes: these are the net under the functions. recording_eraser alone takes an erasure back,
-- before anything was deleted, when a legal hold comes.
CREATE FUNCTION app.keep_erased_upload() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- The update is none: whoever counts its rows sees that.
    RETURN NULL;
END
$$;
CREATE FUNCTION app.keep_erased_call() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.recording_status := 'erased';
    NEW.recording_key := NULL;
    RETURN NEW;
END
$$;
-- An upload that comes for an erased call is on record, and is not made: its URL leads to what was erased.
CREATE FUNCTION app.refuse_erased_call() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM public.call_logs AS c
               WHERE c.org_id = NEW.org_id AND c.id = NEW.call_id AND c.recording_status = 'erased') THEN
        NEW.status := 'failed';
        NEW.error_code := 'recording_erased';
        NEW.source_url := 'https://erased.invalid/';
        NEW.erased_at := now();
    END IF;
    RETURN NEW;
END
$$;
-- Nor is anything made out of it: a rendition that is ready too late is not known, and a sweep deletes its object.
CREATE FUNCTION app.refuse_erased_rendition() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM public.call_logs AS c
               WHERE c.org_id = NEW.org_id AND c.id = NEW.call_id AND c.recording_status = 'erased') THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION app.keep_erased_upload(), app.keep_erased_call(), app.refuse_erased_call(),
    app.refuse_erased_rendition() FROM PUBLIC;
CREATE TRIGGER erased_stays_erased BEFORE UPDATE ON public.recording_upload_queue FOR EACH ROW
    WHEN (OLD.erased_at IS NOT NULL AND current_user <> 'recording_eraser')
    EXECUTE FUNCTION app.keep_erased_upload();
CREATE TRIGGER erased_stays_erased BEFORE UPDATE ON public.call_logs FOR EACH ROW
    WHEN (OLD.recording_status = 'erased' AND current_user <> 'recording_eraser')
    EXECUTE FUNCTION app.keep_erased_call();
CREATE TRIGGER refuse_erased BEFORE INSERT ON public.recording_upload_queue
    FOR EACH ROW EXECUTE FUNCTION app.refuse_erased_call();
CREATE TRIGGER refuse_erased BEFORE INSERT ON public.recording_renditions
    FOR EACH ROW EXECUTE FUNCTION app.refuse_erased_rendition();

GRANT USAGE, CREATE ON SCHEMA app TO recording_eraser, recording_retention_planner;
RESET ROLE;
GRANT CREATE ON SCHEMA public TO recording_eraser, recording_operator_actions;

SET LOCAL ROLE recording_operator_actions;
-- By the function that takes links from users, with its trail.
GRANT EXECUTE ON FUNCTION public.revoke_recording_download(uuid, text) TO recording_eraser;

-- As in 0006, and one answer more: already_erased.
CREATE OR REPLACE FUNCTION public.retry_failed_upload(id uuid, reason text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    upload record;
BEGIN
    SELECT * INTO upload FROM app.take_failed_upload(retry_failed_upload.id, retry_failed_upload.reason);
    CASE
        WHEN upload.id IS NULL THEN RETURN 'not_found';
        WHEN EXISTS (SELECT FROM public.recording_upload_queue AS q WHERE q.id = upload.id AND q.erased_at IS NOT NULL)
            THEN RETURN 'already_erased';
        WHEN upload.status = 'completed' THEN RETURN 'already_completed';
        -- Past its lease too: the worker is gone, the next one takes it over by itself.
        WHEN upload.status = 'processing' THEN RETURN 'already_running';
        WHEN upload.status = 'pending' AND upload.is_due THEN RETURN 'already_queued';
        ELSE NULL;
    END CASE;

    UPDATE public.recording_upload_queue AS q SET
        status = 'pending', failures = 0, next_attempt_at = now(), dispatched_until = NULL, retried_at = now()
    WHERE q.id = upload.id;
    UPDATE public.failed_recording_uploads AS f SET given_up_at = NULL, next_retry_at = now()
    WHERE f.upload_id = upload.id AND f.resolved_at IS NULL;
    UPDATE public.call_logs AS c SET recording_status = 'pending'
    WHERE c.id = upload.call_id AND c.recording_status IS DISTINCT FROM 'completed';
    PERFORM app.note_upload_action('upload_retried', upload.org_id, retry_failed_upload.reason, upload.detail);
    PERFORM pg_notify('recording_upload_queue', '');
    RETURN 'retried';
END
$$;

SET LOCAL ROLE recording_eraser;

-- Finds the call that is meant, locks its uploads and then itself, as workers do, and says how it stands; no row, no such
-- call. While it is held nobody asks for its recording, and no upload of it begins.
CREATE FUNCTION app.take_call(named uuid, reason text)
RETURNS TABLE (id uuid, org_id uuid, status text, sha256 text, is_held boolean, is_running boolean)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    problem text;
    owner   uuid;
    locked  uuid[];
BEGIN
    problem := CASE
        WHEN named IS NULL THEN 'call_id is missing: give the id of the call'
        WHEN coalesce(reason, '') !~ '\S' THEN 'reason is missing: say why, it is kept in audit_log'
        WHEN length(reason) > 500 THEN 'reason has at most 500 characters'
    END;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION '%', problem USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM set_config('app.named_call_id', named::text, true);
    SELECT c.org_id INTO owner FROM public.call_logs AS c WHERE c.id = named;
    locked := ARRAY(SELECT q.id FROM public.recording_upload_queue AS q
                    WHERE q.org_id = owner AND q.call_id = named ORDER BY q.id FOR UPDATE);
    PERFORM FROM public.call_logs AS c WHERE c.id = named FOR UPDATE;
    RETURN QUERY
        SELECT c.id, c.org_id, c.recording_status, c.recording_sha256, c.legal_hold,
            -- One that came while we waited for the call is as good as running: to lock it now would be the wrong order.
            EXISTS (SELECT FROM public.recording_upload_queue AS q
                    WHERE q.org_id = owner AND q.call_id = named AND (q.status = 'processing' OR q.id <> ALL (locked)))
        FROM public.call_logs AS c WHERE c.id = named;
END
$$;

-- One row for each step. The login is who acted; what it says of who sat at the keyboard is worth noting, no more.
CREATE FUNCTION app.note_call_action(action text, org_id uuid, reason text, detail jsonb) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO public.audit_log (org_id, actor, action, subject_id, reason, detail)
    VALUES (note_call_action.org_id, session_user, note_call_action.action, app.named_call_id(),
        btrim(note_call_action.reason, E' \t\r\n'),
        note_call_action.detail || jsonb_strip_nulls(jsonb_build_object(
            'unverified_actor', left(nullif(current_setting('app.actor', true), ''), 200))))
$$;

-- From here on the recording is erased for everybody but the worker that deletes it. Returns as erase_recording() does, and
-- not_stored where retention meets a call that has no recording any more.
CREATE FUNCTION app.plan_erasure(call_id uuid, cause text, reason text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    call record;
    over uuid;
BEGIN
    SELECT * INTO call FROM app.take_call(plan_erasure.call_id, plan_erasure.reason);
    CASE
        WHEN call.id IS NULL THEN RETURN 'not_found';
        WHEN call.status = 'erased' THEN RETURN 'already_erased';
        WHEN call.is_held THEN RETURN 'on_legal_hold';
        WHEN call.is_running THEN RETURN 'already_running';
        WHEN plan_erasure.cause = 'retention' AND call.status IS DISTINCT FROM 'completed' THEN RETURN 'not_stored';
        ELSE NULL;
    END CASE;

    INSERT INTO app.erasures (org_id, call_id, cause, reason)
    VALUES (call.org_id, call.id, plan_erasure.cause, btrim(plan_erasure.reason, E' \t\r\n'));
    UPDATE public.recording_upload_queue AS q SET
        status = CASE q.status WHEN 'pending' THEN 'failed' ELSE q.status END,
        error_code = CASE q.status WHEN 'pending' THEN 'recording_erased' ELSE q.error_code END,
        source_url = 'https://erased.invalid/', dispatched_until = NULL, erased_at = now()
    WHERE q.org_id = call.org_id AND q.call_id = call.id;
    UPDATE public.failed_recording_uploads AS f SET resolved_at = now(), resolution = 'discarded', next_retry_at = NULL
    WHERE f.org_id = call.org_id AND f.call_id = call.id AND f.resolved_at IS NULL;
    UPDATE public.call_logs AS c SET recording_status = 'erased', recording_key = NULL WHERE c.id = call.id;
    -- A ZIP that has it in goes as a whole.
    FOR over IN
        SELECT DISTINCT coalesce(d.export_id, d.id) FROM public.recording_downloads AS d
        WHERE d.call_id = call.id AND d.org_id = call.org_id AND d.status IN ('requested', 'ready') ORDER BY 1
    LOOP
        PERFORM public.revoke_recording_download(over, 'the recording is erased');
    END LOOP;
    PERFORM app.note_call_action('erasure_planned', call.org_id, plan_erasure.reason,
        jsonb_strip_nulls(jsonb_build_object('cause', plan_erasure.cause, 'status', call.status, 'sha256', call.sha256)));
    PERFORM pg_notify('recording_upload_queue', '');
    RETURN 'erasing';
END
$$;

-- Have the recording of a call erased: every version of every object of it, its links, and what would lead to it. What is
-- left is the trail, with its hash (audit_log, recording_erased). Of a call that has no recording yet, none will be stored.
--
-- Returns `erasing`, or why nothing was done: `on_legal_hold`, `already_erased`, `already_running` (an upload of it is
-- under way, ask again), `not_found`. A missing reason is 22023.
CREATE FUNCTION public.erase_recording(call_id uuid, reason text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN app.plan_erasure(erase_recording.call_id, 'requested', erase_recording.reason);
END
$$;

-- Keep a call's recording whatever its age and whoever asks for it to be erased; or end that. An erasure that was planned
-- and that no worker has begun is withdrawn; what it took from users (links, the provider's URL) does not come back.
--
-- Returns `held`, `released`, or why nothing was done: `already_erased`, `not_found`. A missing reason is 22023.
CREATE FUNCTION public.set_legal_hold(call_id uuid, held boolean, reason text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    call record;
    kept record;
BEGIN
    IF set_legal_hold.held IS NULL THEN
        RAISE EXCEPTION 'held is missing: true to hold, false to release' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT * INTO call FROM app.take_call(set_legal_hold.call_id, set_legal_hold.reason);
    IF call.id IS NULL THEN
        RETURN 'not_found';
    ELSIF call.status = 'erased' THEN
        -- The worker's claim waits for this row, or this for the claim: one of the two finds it too late.
        DELETE FROM app.erasures AS e
        WHERE set_legal_hold.held AND e.org_id = call.org_id AND e.call_id = call.id AND e.claimed_at IS NULL;
        IF NOT FOUND THEN
            RETURN 'already_erased';
        END IF;
        UPDATE public.recording_upload_queue AS q SET erased_at = NULL
        WHERE q.org_id = call.org_id AND q.call_id = call.id;
        SELECT q.status, q.object_key INTO kept FROM public.recording_upload_queue AS q
        WHERE q.org_id = call.org_id AND q.call_id = call.id
        ORDER BY q.status = 'completed' DESC, q.sha256 IS NOT DISTINCT FROM call.sha256 DESC, q.completed_at DESC LIMIT 1;
        UPDATE public.call_logs AS c SET recording_status = kept.status,
            recording_key = CASE kept.status WHEN 'completed' THEN kept.object_key END
        WHERE c.id = call.id;
        PERFORM app.note_call_action('erasure_withdrawn', call.org_id, set_legal_hold.reason,
            jsonb_strip_nulls(jsonb_build_object('status', kept.status)));
    END IF;
    IF call.is_held <> set_legal_hold.held THEN
        UPDATE public.call_logs AS c SET legal_hold = set_legal_hold.held WHERE c.id = call.id;
        PERFORM app.note_call_action(CASE WHEN set_legal_hold.held THEN 'legal_hold_set' ELSE 'legal_hold_released' END,
            call.org_id, set_legal_hold.reason, '{}');
    END IF;
    RETURN CASE WHEN set_legal_hold.held THEN 'held' ELSE 'released' END;
END
$$;

-- The receipt: what was erased, by its hashes, and why. Whoever says that it is done, the hashes are those of the rows.
CREATE FUNCTION app.record_erasure() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    named constant text := coalesce(current_setting('app.named_call_id', true), '');
BEGIN
    PERFORM set_config('app.named_call_id', NEW.call_id::text, true);
    PERFORM app.note_call_action('recording_erased', NEW.org_id, NEW.reason, jsonb_build_object(
        'cause', NEW.cause, 'planned_at', NEW.created_at, 'objects', NEW.objects,
        'recordings', coalesce((
            SELECT jsonb_agg(jsonb_build_object('upload_id', q.id, 'sha256', q.sha256, 'size_bytes', q.size_bytes)
                             ORDER BY q.completed_at, q.id)
            FROM public.recording_upload_queue AS q
            WHERE q.org_id = NEW.org_id AND q.call_id = NEW.call_id AND q.status = 'completed'), '[]')));
    -- The rest of the transaction is for whom it was before.
    PERFORM set_config('app.named_call_id', named, true);
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION app.take_call, app.note_call_action, app.plan_erasure, public.erase_recording,
    public.set_legal_hold, app.record_erasure FROM PUBLIC;
REVOKE ALL ON FUNCTION public.erase_recording, public.set_legal_hold FROM anon, authenticated;
GRANT EXECUTE ON FUNCTION public.erase_recording, public.set_legal_hold TO recording_ops;
GRANT EXECUTE ON FUNCTION app.plan_erasure TO recording_retention_planner;
GRANT EXECUTE ON FUNCTION app.record_erasure TO recordings_owner;

SET LOCAL ROLE recording_retention_planner;

-- Plan the erasure of recordings whose time is over, at most so many, and return of how many. Organisations take turns by
-- chance: one that has many does not keep the others waiting. The longest stored go first.
CREATE FUNCTION app.plan_retention(most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    org     record;
    due     uuid;
    before  timestamptz;
    planned integer := 0;
BEGIN
    FOR org IN SELECT o.id, o.recording_retention_days AS days FROM public.organizations AS o
               WHERE o.recording_retention_days IS NOT NULL ORDER BY random()
    LOOP
        -- By itself, so that the comparison enters the index.
        before := now() - make_interval(days => org.days);
        FOR due IN SELECT c.id FROM public.call_logs AS c
                   WHERE c.org_id = org.id AND c.recording_status = 'completed' AND NOT c.legal_hold
                     AND c.recording_uploaded_at <= before
                   ORDER BY c.recording_uploaded_at LIMIT greatest(0, least(most, 1000) - planned)
        LOOP
            IF app.plan_erasure(due, 'retention', format('kept for %s days', org.days)) = 'erasing' THEN
                planned := planned + 1;
            END IF;
        END LOOP;
    END LOOP;
    RETURN planned;
END
$$;

REVOKE ALL ON FUNCTION app.plan_retention FROM PUBLIC;
GRANT EXECUTE ON FUNCTION app.plan_retention TO recording_dispatcher;

SET LOCAL ROLE recordings_owner;
REVOKE CREATE ON SCHEMA app FROM recording_eraser, recording_retention_planner;
CREATE TRIGGER record_erasure AFTER UPDATE ON app.erasures FOR EACH ROW
    WHEN (OLD.erased_at IS NULL AND NEW.erased_at IS NOT NULL) EXECUTE FUNCTION app.record_erasure();
RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM recording_eraser, recording_operator_actions;
