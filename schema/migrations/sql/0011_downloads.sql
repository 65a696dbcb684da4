-- Downloads: a user asks, a worker signs a link, the link ends; each step is on record. Runs as the administrator.
--
-- A user cannot insert a request: the function below does, as a role that sees what the user sees. The link is made by a
-- worker under the organisation's task grant, and stands on a row that only the one who asked can read (law 9).

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'recording_download_requester') THEN
        CREATE ROLE recording_download_requester NOLOGIN NOINHERIT;
    ELSIF EXISTS (SELECT FROM pg_catalog.pg_roles
                  WHERE rolname = 'recording_download_requester' AND (rolsuper OR rolbypassrls)) THEN
        RAISE EXCEPTION 'role recording_download_requester is superuser or has BYPASSRLS'
            USING HINT = 'ALTER ROLE recording_download_requester NOSUPERUSER NOBYPASSRLS, then migrate again';
    END IF;
    IF NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('GRANT recording_download_requester TO %I', current_user);
    END IF;
END
$$;

GRANT USAGE ON SCHEMA public TO recording_download_requester;

SET LOCAL ROLE recordings_owner;

ALTER TABLE public.recording_downloads
    ADD COLUMN error_code text,
    ADD COLUMN dispatched_until timestamptz,
    ADD CHECK ((status = 'failed') = (error_code IS NOT NULL)),
    -- Whoever cannot write a link cannot make a row ready.
    ADD CHECK (status <> 'ready' OR url IS NOT NULL);

-- What waits, and what ends: both short, however many there have been.
CREATE INDEX recording_downloads_waiting ON public.recording_downloads (created_at) WHERE status = 'requested';
CREATE INDEX recording_downloads_ending ON public.recording_downloads (expires_at) WHERE status = 'ready';
-- How many there were lately; and the newest, whoever asked for them.
CREATE INDEX recording_downloads_created_at ON public.recording_downloads (org_id, created_at);
CREATE INDEX recording_downloads_newest ON public.recording_downloads (created_at DESC, id);

-- The one who asks: their organisation, in their name.
GRANT EXECUTE ON FUNCTION public.auth_org_id(), public.auth_user_id() TO recording_download_requester;
GRANT SELECT (id, status) ON public.organizations TO recording_download_requester;
GRANT SELECT (id, org_id, recording_status, recording_sha256) ON public.call_logs TO recording_download_requester;
GRANT SELECT (id, org_id, requested_by, created_at), INSERT (org_id, call_id, requested_by, reason, sha256)
    ON public.recording_downloads TO recording_download_requester;
CREATE POLICY asked ON public.organizations FOR SELECT TO recording_download_requester
    USING (id = (SELECT public.auth_org_id()));
CREATE POLICY asked ON public.call_logs FOR SELECT TO recording_download_requester
    USING (org_id = (SELECT public.auth_org_id()));
CREATE POLICY asked ON public.recording_downloads FOR SELECT TO recording_download_requester
    USING (org_id = (SELECT public.auth_org_id()));
CREATE POLICY asked_insert ON public.recording_downloads FOR INSERT TO recording_download_requester
    WITH CHECK (org_id = (SELECT public.auth_org_id()) AND requested_by = (SELECT public.auth_user_id()));

-- The trail: by a trigger, so that no way around it is left to whoever changes a row.
GRANT INSERT (org_id, actor, action, subject_id, reason, detail) ON public.audit_log TO recording_download_requester;
GRANT EXECUTE ON FUNCTION app.named_org_id() TO recording_download_requester;
CREATE POLICY download_trail ON public.audit_log FOR INSERT TO recording_download_requester
    WITH CHECK (org_id = (SELECT app.named_org_id()) AND actor = session_user
        AND action IN ('download_requested', 'download_ready', 'download_failed', 'download_expired',
            'download_revoked'));

-- Workers: the organisation of their grant. They write a link, and cannot read one.
GRANT SELECT (id, org_id, call_id, kind, status, dispatched_until),
    UPDATE (status, url, expires_at, sha256, error_code) ON public.recording_downloads TO recording_worker;
CREATE POLICY granted_organization ON public.recording_downloads TO recording_worker
    USING (org_id = (SELECT app.task_org_id())) WITH CHECK (org_id = (SELECT app.task_org_id()));

-- Dispatcher: times, of every organisation. It ends links, and can neither read nor write one.
GRANT SELECT (id, org_id, status, created_at, dispatched_until, expires_at),
    UPDATE (dispatched_until, status, error_code) ON public.recording_downloads TO recording_dispatcher;
CREATE POLICY clock ON public.recording_downloads FOR SELECT TO recording_dispatcher USING (true);
CREATE POLICY clock_change ON public.recording_downloads FOR UPDATE TO recording_dispatcher
    USING (status <> 'revoked') WITH CHECK (status <> 'revoked');

-- Operators: who asked for what, and why; never the link. They can end one, by the function below.
GRANT SELECT (id, org_id, call_id, requested_by, reason, kind, export_id, status, error_code, sha256, expires_at,
    created_at) ON public.recording_downloads TO recording_ops;
CREATE POLICY operators_read ON public.recording_downloads FOR SELECT TO recording_ops USING (true);
GRANT SELECT (id, status), UPDATE (status) ON public.recording_downloads TO recording_operator_actions;
CREATE POLICY named_download ON public.recording_downloads TO recording_operator_actions
    USING (id = (SELECT app.named_upload_id())) WITH CHECK (id = (SELECT app.named_upload_id()));

-- Whoever ends a link takes it off its row, and needs no right to write one for that.
CREATE FUNCTION app.blank_link() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.url := NULL;
    RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION app.blank_link() FROM PUBLIC;
CREATE TRIGGER blank_link BEFORE UPDATE ON public.recording_downloads
    FOR EACH ROW WHEN (NEW.status <> 'ready' AND NEW.url IS NOT NULL) EXECUTE FUNCTION app.blank_link();
-- What is over stays over, and nothing is asked for twice: no worker and no dispatcher signs or opens an old request anew.
CREATE TRIGGER over_is_over BEFORE UPDATE ON public.recording_downloads FOR EACH ROW
    WHEN (NEW.status <> OLD.status AND (NEW.status = 'requested' OR OLD.status NOT IN ('requested', 'ready')))
    EXECUTE FUNCTION app.refuse_change();
GRANT USAGE, CREATE ON SCHEMA app TO recording_download_requester;
RESET ROLE;
GRANT CREATE ON SCHEMA public TO recording_download_requester, recording_operator_actions;
SET LOCAL ROLE recording_download_requester;

-- Ask for a link to the recording of a call, as the signed-in user. Returns the id of a row of recording_downloads, on
-- which status, url and expires_at appear (NOTIFY recording_downloads, with the id, whenever the status changes).
--
-- Refused, in the words in front of the colon: not_signed_in (42501), reason_missing (22023), call_not_found (PT404; also
-- for another organisation's: the two cannot be told apart), recording_not_ready (PT409, ask again later),
-- recording_not_available (PT409, an operator has to act), organization_suspended (PT403), too_many_downloads (PT429).
-- PostgREST and Supabase answer PTxyz with HTTP status xyz.
CREATE FUNCTION public.request_recording_download(call_id uuid, reason text) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    org    constant uuid := public.auth_org_id();
    asker  constant uuid := public.auth_user_id();
    why    constant text := btrim(coalesce(request_recording_download.reason, ''), E' \t\r\n');
    call   record;
    lately record;
    made   uuid;
BEGIN
    IF org IS NULL OR asker IS NULL THEN
        RAISE EXCEPTION 'not_signed_in: the token names no organisation, or no user' USING ERRCODE = 'insufficient_privilege';
    ELSIF why = '' OR length(why) > 500 THEN
        RAISE EXCEPTION 'reason_missing: say why, in 1 to 500 characters; it is kept' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT c.recording_status AS status, c.recording_sha256 AS sha256 INTO call
    FROM public.call_logs AS c WHERE c.id = request_recording_download.call_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'call_not_found: no such call' USING ERRCODE = 'PT404';
    ELSIF call.status IN ('pending', 'processing') THEN
        RAISE EXCEPTION 'recording_not_ready: the recording is still being stored' USING ERRCODE = 'PT409';
    ELSIF call.status IS DISTINCT FROM 'completed' THEN
        RAISE EXCEPTION 'recording_not_available: no recording of this call is stored' USING ERRCODE = 'PT409';
    ELSIF NOT EXISTS (SELECT FROM public.organizations AS o WHERE o.status = 'active') THEN
        RAISE EXCEPTION 'organization_suspended: downloads are off' USING ERRCODE = 'PT403';
    END IF;
    -- Requests at the same moment do not see one another and may pass the limit by as many as they are.
    SELECT count(*) FILTER (WHERE d.requested_by = asker) AS by_user, count(*) AS by_all INTO lately
    FROM public.recording_downloads AS d WHERE d.org_id = org AND d.created_at > now() - interval '1 minute';
    IF lately.by_user >= 60 OR lately.by_all >= 600 THEN
        RAISE EXCEPTION 'too_many_downloads: at most 60 a minute for a user, 600 for an organisation'
            USING ERRCODE = 'PT429';
    END IF;
    INSERT INTO public.recording_downloads AS d (org_id, call_id, requested_by, reason, sha256)
    VALUES (org, request_recording_download.call_id, asker, why, call.sha256) RETURNING d.id INTO made;
    PERFORM pg_notify('recording_upload_queue', '');
    RETURN made;
END
$$;

-- Tells who waits, and writes down what became of it.
CREATE FUNCTION app.record_download() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    named constant text := coalesce(current_setting('app.named_org_id', true), '');
BEGIN
    PERFORM pg_notify('recording_downloads', NEW.id::text);
    PERFORM set_config('app.named_org_id', NEW.org_id::text, true);
    INSERT INTO public.audit_log (org_id, actor, action, subject_id, reason, detail)
    VALUES (NEW.org_id, session_user, 'download_' || NEW.status, NEW.id,
        CASE NEW.status WHEN 'requested' THEN NEW.reason WHEN 'revoked' THEN current_setting('app.reason', true) END,
        jsonb_strip_nulls(jsonb_build_object('call_id', NEW.call_id, 'requested_by', NEW.requested_by,
            'sha256', NEW.sha256, 'expires_at', NEW.expires_at, 'error_code', NEW.error_code,
            'unverified_actor', left(nullif(current_setting('app.actor', true), ''), 200))));
    -- The rest of the transaction is for whom it was before.
    PERFORM set_config('app.named_org_id', named, true);
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION public.request_recording_download(uuid, text), app.record_download() FROM PUBLIC;
REVOKE ALL ON FUNCTION public.request_recording_download(uuid, text) FROM anon, authenticated;
GRANT EXECUTE ON FUNCTION public.request_recording_download(uuid, text) TO authenticated;
GRANT EXECUTE ON FUNCTION app.record_download() TO recordings_owner;

SET LOCAL ROLE recordings_owner;
REVOKE CREATE ON SCHEMA app FROM recording_download_requester;
CREATE TRIGGER record_request AFTER INSERT ON public.recording_downloads
    FOR EACH ROW EXECUTE FUNCTION app.record_download();
CREATE TRIGGER record_change AFTER UPDATE ON public.recording_downloads
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION app.record_download();

SET LOCAL ROLE recording_operator_actions;
-- Take a link away before its time, with a reason for the audit log: revoked, already_over, or not_found. The row shows
-- it no more; whoever has copied it can use it until it expires by itself, which no store can help.
CREATE FUNCTION public.revoke_recording_download(id uuid, reason text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    download record;
BEGIN
    IF coalesce(revoke_recording_download.reason, '') !~ '\S' OR length(revoke_recording_download.reason) > 500 THEN
        RAISE EXCEPTION 'reason must be 1 to 500 characters: say why, it is kept in audit_log'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM set_config('app.named_upload_id', coalesce(revoke_recording_download.id::text, ''), true);
    PERFORM set_config('app.reason', btrim(revoke_recording_download.reason, E' \t\r\n'), true);
    SELECT d.status INTO download FROM public.recording_downloads AS d
    WHERE d.id = revoke_recording_download.id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'not_found';
    ELSIF download.status NOT IN ('requested', 'ready') THEN
        RETURN 'already_over';
    END IF;
    UPDATE public.recording_downloads AS d SET status = 'revoked' WHERE d.id = revoke_recording_download.id;
    RETURN 'revoked';
END
$$;
REVOKE ALL ON FUNCTION public.revoke_recording_download(uuid, text) FROM PUBLIC, anon, authenticated;
GRANT EXECUTE ON FUNCTION public.revoke_recording_download(uuid, text) TO recording_ops;
RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM recording_download_requester, recording_operator_actions;
