-- The way back from a failed upload: what operators may do, and the trail that it leaves. Runs as the administrator.
--
-- recording_ops reads; it changes nothing itself. Two functions act for it, on the one upload that each call names, and
-- write down who did it and why. They belong to a role whose policies admit that one upload and no other.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'recording_operator_actions') THEN
        CREATE ROLE recording_operator_actions NOLOGIN NOINHERIT;
    ELSIF EXISTS (SELECT FROM pg_catalog.pg_roles
                  WHERE rolname = 'recording_operator_actions' AND (rolsuper OR rolbypassrls)) THEN
        RAISE EXCEPTION 'role recording_operator_actions is superuser or has BYPASSRLS'
            USING HINT = 'ALTER ROLE recording_operator_actions NOSUPERUSER NOBYPASSRLS, then migrate again';
    END IF;
    IF NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('GRANT recording_operator_actions TO %I', current_user);
    END IF;
END
$$;

GRANT USAGE ON SCHEMA public TO recording_operator_actions;

SET LOCAL ROLE recordings_owner;

-- From when an upload's age counts: a recording that is a month old gets its whole patience again with a retry.
ALTER TABLE public.recording_upload_queue ADD COLUMN retried_at timestamptz;
GRANT SELECT (retried_at) ON public.recording_upload_queue TO recording_ops;

-- In the order in which operators work through them.
CREATE INDEX failed_recording_uploads_oldest
    ON public.failed_recording_uploads (first_failed_at, id) WHERE resolved_at IS NULL;
-- What was done to an upload, however much was done to others.
CREATE INDEX audit_log_subject ON public.audit_log (subject_id, at) WHERE subject_id IS NOT NULL;

-- The upload that the call at hand names. Anyone can write the setting; it means nothing to any other role.
CREATE FUNCTION app.named_upload_id() RETURNS uuid
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT nullif(current_setting('app.named_upload_id', true), '')::uuid
$$;
REVOKE ALL ON FUNCTION app.named_upload_id() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION app.named_upload_id() TO recording_operator_actions;

GRANT SELECT (id, org_id, call_id, status, attempt, failures, next_attempt_at, error_code),
    UPDATE (status, failures, next_attempt_at, dispatched_until, error_code, retried_at)
    ON public.recording_upload_queue TO recording_operator_actions;
GRANT SELECT (id, upload_id, error_code, resolved_at),
    UPDATE (next_retry_at, given_up_at, resolved_at, resolution)
    ON public.failed_recording_uploads TO recording_operator_actions;
GRANT SELECT (id, recording_status), UPDATE (recording_status) ON public.call_logs TO recording_operator_actions;
GRANT INSERT (org_id, actor, action, subject_id, reason, detail) ON public.audit_log TO recording_operator_actions;

CREATE POLICY named_upload ON public.recording_upload_queue TO recording_operator_actions
    USING (id = (SELECT app.named_upload_id())) WITH CHECK (id = (SELECT app.named_upload_id()));
CREATE POLICY named_upload ON public.failed_recording_uploads FOR SELECT TO recording_operator_actions
    USING ((SELECT app.named_upload_id()) IN (id, upload_id));
CREATE POLICY named_upload_change ON public.failed_recording_uploads FOR UPDATE TO recording_operator_actions
    USING (upload_id = (SELECT app.named_upload_id())) WITH CHECK (upload_id = (SELECT app.named_upload_id()));
CREATE POLICY named_upload ON public.call_logs TO recording_operator_actions
    USING (id = (SELECT q.call_id FROM public.recording_upload_queue AS q WHERE q.id = (SELECT app.named_upload_id())))
    WITH CHECK (id = (SELECT q.call_id FROM public.recording_upload_queue AS q
                      WHERE q.id = (SELECT app.named_upload_id())));
-- Who acted is the login, and whose upload it was is the upload's own: neither can be written otherwise.
CREATE POLICY named_upload ON public.audit_log FOR INSERT TO recording_operator_actions
    WITH CHECK (subject_id = (SELECT app.named_upload_id()) AND actor = session_user
                AND action IN ('upload_retried', 'upload_discarded')
                AND org_id = (SELECT q.org_id FROM public.recording_upload_queue AS q
                              WHERE q.id = (SELECT app.named_upload_id())));

GRANT USAGE, CREATE ON SCHEMA app TO recording_operator_actions;
RESET ROLE;
GRANT CREATE ON SCHEMA public TO recording_operator_actions;
SET LOCAL ROLE recording_operator_actions;

-- Finds the upload that is meant (its own id, or that of a failure of it), locks it and says how it stands; no row, no
-- such upload. The lock is on the queue's row first, as a worker takes it when it claims or settles.
CREATE FUNCTION app.take_failed_upload(named uuid, reason text)
RETURNS TABLE (id uuid, org_id uuid, call_id uuid, status text, is_due boolean, error_code text, detail jsonb)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    problem text;
BEGIN
    problem := CASE
        WHEN named IS NULL THEN 'id is missing: give the id of the upload or of its failure'
        WHEN coalesce(reason, '') !~ '\S' THEN 'reason is missing: say why, it is kept in audit_log'
        WHEN length(reason) > 500 THEN 'reason has at most 500 characters'
    END;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION '%', problem USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM set_config('app.named_upload_id', named::text, true);
    named := coalesce((SELECT f.upload_id FROM public.failed_recording_uploads AS f WHERE f.id = named), named);
    PERFORM set_config('app.named_upload_id', named::text, true);
    RETURN QUERY
        SELECT q.id, q.org_id, q.call_id, q.status,
            -- Not now(): the one who had the lock before us may have begun after us.
            q.next_attempt_at <= clock_timestamp(),
            q.error_code,
            jsonb_build_object('status', q.status, 'error_code', q.error_code, 'failures', q.failures,
                               'attempt', q.attempt)
        FROM public.recording_upload_queue AS q WHERE q.id = named FOR UPDATE;
END
$$;

-- One row for each action that changed something. The login is who acted; what the login says of who sat at the keyboard
-- (the setting app.actor) is worth noting and proves nothing.
CREATE FUNCTION app.note_upload_action(action text, org_id uuid, reason text, detail jsonb) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO public.audit_log (org_id, actor, action, subject_id, reason, detail)
    VALUES (note_upload_action.org_id, session_user, note_upload_action.action, app.named_upload_id(),
        btrim(note_upload_action.reason, E' \t\r\n'),
        note_upload_action.detail || jsonb_strip_nulls(jsonb_build_object(
            'unverified_actor', left(nullif(current_setting('app.actor', true), ''), 200))))
$$;

-- Have a failed upload tried again, now: its failures are forgiven and its age counts anew, its priority and its history
-- stay. It waits in line like any other, and the open failure resolves as `recovered` when it completes. One that waits
-- for its next try need not wait. One that was discarded may be retried too; its next failure then opens a new one.
--
-- id: of the upload, or of its failure. Returns `retried`, or why nothing was done: `already_queued` (due, a worker will
-- take it), `already_running`, `already_completed`, `not_found`. A missing reason is 22023.
CREATE FUNCTION public.retry_failed_upload(id uuid, reason text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    upload record;
BEGIN
    SELECT * INTO upload FROM app.take_failed_upload(retry_failed_upload.id, retry_failed_upload.reason);
    CASE
        WHEN upload.id IS NULL THEN RETURN 'not_found';
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

-- Let a failed upload be: its failure is closed as `discarded`, and nothing tries it any more. The row stays, as `failed`
-- with its last code.
--
-- id: of the upload, or of its failure. Returns `discarded`, or why nothing was done: `already_discarded`, `not_failed`
-- (no failure of it is open), `already_running` (its attempt will settle it; discard it after), `already_completed`,
-- `not_found`. A missing reason is 22023.
CREATE FUNCTION public.discard_failed_upload(id uuid, reason text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    upload    record;
    last_code text;
BEGIN
    SELECT * INTO upload FROM app.take_failed_upload(discard_failed_upload.id, discard_failed_upload.reason);
    SELECT coalesce(upload.error_code, f.error_code) INTO last_code FROM public.failed_recording_uploads AS f
    WHERE f.upload_id = upload.id AND f.resolved_at IS NULL;
    CASE
        WHEN upload.id IS NULL THEN RETURN 'not_found';
        WHEN upload.status = 'completed' THEN RETURN 'already_completed';
        WHEN upload.status = 'processing' THEN RETURN 'already_running';
        WHEN last_code IS NULL AND upload.status = 'failed' THEN RETURN 'already_discarded';
        WHEN last_code IS NULL THEN RETURN 'not_failed';
        ELSE NULL;
    END CASE;

    UPDATE public.recording_upload_queue AS q SET status = 'failed', error_code = last_code, dispatched_until = NULL
    WHERE q.id = upload.id AND q.status = 'pending';
    UPDATE public.failed_recording_uploads AS f SET
        resolved_at = now(), resolution = 'discarded', next_retry_at = NULL
    WHERE f.upload_id = upload.id AND f.resolved_at IS NULL;
    UPDATE public.call_logs AS c SET recording_status = 'failed'
    WHERE c.id = upload.call_id AND c.recording_status IS DISTINCT FROM 'completed';
    PERFORM app.note_upload_action('upload_discarded', upload.org_id, discard_failed_upload.reason,
        upload.detail || jsonb_build_object('error_code', last_code));
    RETURN 'discarded';
END
$$;

REVOKE ALL ON FUNCTION app.take_failed_upload, app.note_upload_action,
    public.retry_failed_upload, public.discard_failed_upload FROM PUBLIC;
-- Supabase gives its API roles every new function of this schema by default.
REVOKE ALL ON FUNCTION public.retry_failed_upload, public.discard_failed_upload FROM anon, authenticated;
GRANT EXECUTE ON FUNCTION public.retry_failed_upload, public.discard_failed_upload TO recording_ops;

RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM recording_operator_actions;
SET LOCAL ROLE recordings_owner;
REVOKE CREATE ON SCHEMA app FROM recording_operator_actions;
RESET ROLE;
