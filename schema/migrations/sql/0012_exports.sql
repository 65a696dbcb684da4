-- Exports: many recordings in one ZIP, each on record; and recordings in another format. Runs as the administrator.
--
-- An export is a row of recording_exports (how it stands, how far it is) and a row of recording_downloads for each
-- recording in it (law 9), written in the user's transaction, before a byte is read. The link stands on those rows, as that
-- of a single recording does.

SET LOCAL ROLE recordings_owner;

CREATE TABLE public.recording_exports (
    id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    org_id            uuid NOT NULL REFERENCES public.organizations (id),
    requested_by      uuid NOT NULL,
    reason            text NOT NULL CHECK (btrim(reason) <> ''),
    status            text NOT NULL DEFAULT 'requested'
                      CHECK (status IN ('requested', 'processing', 'ready', 'failed', 'revoked', 'expired')),
    recordings_total  integer NOT NULL CHECK (recordings_total BETWEEN 1 AND 10000),
    recordings_done   integer NOT NULL DEFAULT 0 CHECK (recordings_done BETWEEN 0 AND recordings_total),
    -- Of the ZIP.
    size_bytes        bigint CHECK (size_bytes > 0),
    sha256            text CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    object_key        text,
    expires_at        timestamptz,
    error_code        text,
    -- Claims so far: the fence, as of an upload (law 3); and how many of them ended with their worker.
    attempt           integer NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    failures          integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
    dispatched_until  timestamptz,
    lease_expires_at  timestamptz,
    worker            text,
    created_at        timestamptz NOT NULL DEFAULT now(),
    UNIQUE (org_id, id),
    CHECK ((status = 'processing') = (lease_expires_at IS NOT NULL)),
    CHECK ((status = 'failed') = (error_code IS NOT NULL)),
    CHECK (status <> 'ready' OR (object_key IS NOT NULL AND sha256 IS NOT NULL AND size_bytes IS NOT NULL
                                 AND expires_at IS NOT NULL))
);
CREATE INDEX recording_exports_requested_by ON public.recording_exports (org_id, requested_by, created_at DESC);
CREATE INDEX recording_exports_created_at ON public.recording_exports (org_id, created_at);
-- What waits or is under way, and what ends: both short, however many there have been.
CREATE INDEX recording_exports_waiting ON public.recording_exports (created_at)
    WHERE status IN ('requested', 'processing');
CREATE INDEX recording_exports_ending ON public.recording_exports (expires_at) WHERE status = 'ready';
-- ZIPs that nobody may fetch any more, and that are still stored.
CREATE INDEX recording_exports_left ON public.recording_exports (org_id)
    WHERE object_key IS NOT NULL AND status IN ('failed', 'revoked', 'expired');

-- A recording in another format, made for whoever asked first and kept beside the original.
CREATE TABLE public.recording_renditions (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    org_id         uuid NOT NULL REFERENCES public.organizations (id),
    call_id        uuid NOT NULL,
    upload_id      uuid NOT NULL,
    format         text NOT NULL CHECK (format IN ('mp3', 'ogg', 'flac', 'wav')),
    object_key     text NOT NULL,
    size_bytes     bigint NOT NULL CHECK (size_bytes > 0),
    sha256         text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    source_sha256  text NOT NULL CHECK (source_sha256 ~ '^[0-9a-f]{64}$'),
    created_at     timestamptz NOT NULL DEFAULT now(),
    UNIQUE (org_id, upload_id, format),
    FOREIGN KEY (org_id, call_id) REFERENCES public.call_logs (org_id, id),
    FOREIGN KEY (org_id, upload_id) REFERENCES public.recording_upload_queue (org_id, id)
);
CREATE INDEX recording_renditions_call ON public.recording_renditions (org_id, call_id);
-- Beside the listing, as the originals are (recording_upload_queue_object).
CREATE INDEX recording_renditions_object ON public.recording_renditions (org_id, object_key COLLATE "C");

ALTER TABLE public.recording_downloads
    -- Null: as it is stored.
    ADD COLUMN format text CHECK (format IN ('mp3', 'ogg', 'flac', 'wav')),
    ADD FOREIGN KEY (org_id, export_id) REFERENCES public.recording_exports (org_id, id),
    ADD CHECK ((kind = 'export') = (export_id IS NOT NULL));
CREATE INDEX recording_downloads_export ON public.recording_downloads (org_id, export_id, id) WHERE export_id IS NOT NULL;
-- By its id alone, as operators know it.
CREATE INDEX recording_downloads_of_export ON public.recording_downloads (export_id) WHERE export_id IS NOT NULL;
-- An export waits as one row, not as one for each recording; and it has a limit of its own.
DROP INDEX public.recording_downloads_waiting, public.recording_downloads_created_at;
CREATE INDEX recording_downloads_waiting ON public.recording_downloads (created_at)
    WHERE status = 'requested' AND kind = 'link';
CREATE INDEX recording_downloads_created_at ON public.recording_downloads (org_id, created_at) WHERE kind = 'link';

ALTER TABLE public.recording_exports ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.recording_exports FORCE ROW LEVEL SECURITY;
ALTER TABLE public.recording_renditions ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.recording_renditions FORCE ROW LEVEL SECURITY;
-- Supabase gives its API roles everything on new tables by default.
REVOKE ALL ON public.recording_exports, public.recording_renditions FROM PUBLIC, anon, authenticated;
CREATE TRIGGER refuse_org_change BEFORE UPDATE ON public.recording_exports FOR EACH ROW
    WHEN (OLD.org_id IS DISTINCT FROM NEW.org_id) EXECUTE FUNCTION app.refuse_org_change();
CREATE TRIGGER refuse_org_change BEFORE UPDATE ON public.recording_renditions FOR EACH ROW
    WHEN (OLD.org_id IS DISTINCT FROM NEW.org_id) EXECUTE FUNCTION app.refuse_org_change();
-- What is over stays over, as of a single link. A ZIP that is made is not made again: it has been fetched, maybe.
CREATE TRIGGER over_is_over BEFORE UPDATE ON public.recording_exports FOR EACH ROW
    WHEN (NEW.status <> OLD.status AND (OLD.status IN ('failed', 'revoked', 'expired')
          OR OLD.status = 'ready' AND NEW.status IN ('requested', 'processing', 'failed')))
    EXECUTE FUNCTION app.refuse_change();

-- The one who asked.
GRANT SELECT (id, org_id, requested_by, reason, status, recordings_total, recordings_done, size_bytes, sha256, expires_at,
    error_code, created_at) ON public.recording_exports TO authenticated;
CREATE POLICY own_request ON public.recording_exports FOR SELECT TO authenticated
    USING (org_id = (SELECT public.auth_org_id()) AND requested_by = (SELECT public.auth_user_id()));

-- The one who asks for them: their organisation, in their name.
GRANT SELECT (recording_format, started_at, agent_id, lead_id, direction) ON public.call_logs
    TO recording_download_requester;
GRANT SELECT (kind), INSERT (kind, export_id, format) ON public.recording_downloads TO recording_download_requester;
GRANT SELECT (id, org_id, requested_by, created_at), INSERT (org_id, requested_by, reason, recordings_total)
    ON public.recording_exports TO recording_download_requester;
CREATE POLICY asked ON public.recording_exports FOR SELECT TO recording_download_requester
    USING (org_id = (SELECT public.auth_org_id()));
CREATE POLICY asked_insert ON public.recording_exports FOR INSERT TO recording_download_requester
    WITH CHECK (org_id = (SELECT public.auth_org_id()) AND requested_by = (SELECT public.auth_user_id()));
DROP POLICY download_trail ON public.audit_log;
CREATE POLICY download_trail ON public.audit_log FOR INSERT TO recording_download_requester
    WITH CHECK (org_id = (SELECT app.named_org_id()) AND actor = session_user
        AND action IN ('download_requested', 'download_ready', 'download_failed', 'download_expired', 'download_revoked',
            'export_requested', 'export_ready', 'export_failed', 'export_expired', 'export_revoked'));

-- Workers: the organisation of their grant. Of a call the manifest says when it was and how long.
GRANT SELECT (started_at, duration_s) ON public.call_logs TO recording_worker;
GRANT SELECT (export_id, sha256, format), UPDATE (dispatched_until) ON public.recording_downloads TO recording_worker;
GRANT SELECT (id, org_id, status, recordings_total, recordings_done, object_key, attempt, failures, dispatched_until,
    lease_expires_at, created_at),
    UPDATE (status, recordings_done, size_bytes, sha256, object_key, expires_at, error_code, attempt, failures,
    dispatched_until, lease_expires_at, worker) ON public.recording_exports TO recording_worker;
GRANT SELECT, INSERT (org_id, call_id, upload_id, format, object_key, size_bytes, sha256, source_sha256), DELETE
    ON public.recording_renditions TO recording_worker;
CREATE POLICY granted_organization ON public.recording_exports TO recording_worker
    USING (org_id = (SELECT app.task_org_id())) WITH CHECK (org_id = (SELECT app.task_org_id()));
CREATE POLICY granted_organization ON public.recording_renditions TO recording_worker
    USING (org_id = (SELECT app.task_org_id())) WITH CHECK (org_id = (SELECT app.task_org_id()));

-- Dispatcher: times, of every organisation. It ends exports, and never sees what is in them.
GRANT SELECT (kind, format, export_id) ON public.recording_downloads TO recording_dispatcher;
GRANT SELECT (id, org_id, status, failures, dispatched_until, lease_expires_at, expires_at, created_at),
    UPDATE (dispatched_until, status, error_code, lease_expires_at) ON public.recording_exports TO recording_dispatcher;
CREATE POLICY clock ON public.recording_exports FOR SELECT TO recording_dispatcher USING (true);
CREATE POLICY clock_change ON public.recording_exports FOR UPDATE TO recording_dispatcher
    USING (status <> 'revoked') WITH CHECK (status <> 'revoked');

-- Operators: who asked for what, and why; they can end one, by the function below.
GRANT SELECT (format) ON public.recording_downloads TO recording_ops;
GRANT SELECT (id, org_id, requested_by, reason, status, recordings_total, recordings_done, size_bytes, sha256, expires_at,
    error_code, attempt, failures, lease_expires_at, worker, created_at) ON public.recording_exports TO recording_ops;
CREATE POLICY operators_read ON public.recording_exports FOR SELECT TO recording_ops USING (true);
GRANT SELECT (export_id) ON public.recording_downloads TO recording_operator_actions;
GRANT SELECT (id, status), UPDATE (status, lease_expires_at) ON public.recording_exports TO recording_operator_actions;
DROP POLICY named_download ON public.recording_downloads;
CREATE POLICY named_download ON public.recording_downloads TO recording_operator_actions
    USING ((SELECT app.named_upload_id()) IN (id, export_id)) WITH CHECK ((SELECT app.named_upload_id()) IN (id, export_id));
CREATE POLICY named_export ON public.recording_exports TO recording_operator_actions
    USING (id = (SELECT app.named_upload_id())) WITH CHECK (id = (SELECT app.named_upload_id()));

GRANT USAGE, CREATE ON SCHEMA app TO recording_download_requester;
RESET ROLE;
GRANT CREATE ON SCHEMA public TO recording_download_requester, recording_operator_actions;
SET LOCAL ROLE recording_download_requester;

-- One function with a format takes the place of the one without.
DROP FUNCTION public.request_recording_download(uuid, text);

-- Who asks, for whom and why; or the refusal that both functions below begin with.
CREATE FUNCTION app.take_request(reason text) RETURNS TABLE (org_id uuid, asker uuid, reason_kept text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    org_id := public.auth_org_id();
    asker := public.auth_user_id();
    reason_kept := btrim(coalesce(take_request.reason, ''), E' \t\r\n');
    IF org_id IS NULL OR asker IS NULL THEN
        RAISE EXCEPTION 'not_signed_in: the token names no organisation, or no user' USING ERRCODE = 'insufficient_privilege';
    ELSIF reason_kept = '' OR length(reason_kept) > 500 THEN
        RAISE EXCEPTION 'reason_missing: say why, in 1 to 500 characters; it is kept' USING ERRCODE = 'invalid_parameter_value';
    ELSIF NOT EXISTS (SELECT FROM public.organizations AS o WHERE o.status = 'active') THEN
        RAISE EXCEPTION 'organization_suspended: downloads are off' USING ERRCODE = 'PT403';
    END IF;
    RETURN NEXT;
END
$$;

-- Refuses the recording of a call that cannot be handed out, by how it stands.
CREATE FUNCTION app.refuse_unstored(is_found boolean, status text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    CASE
        WHEN NOT is_found THEN
            RAISE EXCEPTION 'call_not_found: no such call' USING ERRCODE = 'PT404';
        WHEN status IN ('pending', 'processing') THEN
            RAISE EXCEPTION 'recording_not_ready: the recording is still being stored' USING ERRCODE = 'PT409';
        WHEN status = 'erased' THEN
            RAISE EXCEPTION 'recording_erased: the recording was erased, and is nowhere any more' USING ERRCODE = 'PT410';
        WHEN status IS DISTINCT FROM 'completed' THEN
            RAISE EXCEPTION 'recording_not_available: no recording of this call is stored' USING ERRCODE = 'PT409';
        ELSE NULL;
    END CASE;
END
$$;

-- Ask for a link to the recording of a call, as the signed-in user. Returns the id of a row of recording_downloads, on
-- which status, url and expires_at appear (NOTIFY recording_downloads, with the id, whenever the status changes).
-- format: mp3, ogg, flac or wav; null, or the one that it has: as it is stored.
--
-- Refused, in the words in front of the colon: not_signed_in (42501), reason_missing, format_unknown (22023),
-- call_not_found (PT404; also for another organisation's: the two cannot be told apart), recording_not_ready (PT409, ask
-- again later), recording_not_available (PT409, an operator has to act), recording_erased (PT410), organization_suspended
-- (PT403), too_many_downloads (PT429). PostgREST and Supabase answer PTxyz with HTTP status xyz.
CREATE FUNCTION public.request_recording_download(call_id uuid, reason text, format text DEFAULT NULL) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    who    record;
    call   record;
    lately record;
    made   uuid;
BEGIN
    SELECT * INTO STRICT who FROM app.take_request(request_recording_download.reason);
    IF request_recording_download.format NOT IN ('mp3', 'ogg', 'flac', 'wav') THEN
        RAISE EXCEPTION 'format_unknown: mp3, ogg, flac or wav; or none, for the recording as it is stored'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT c.recording_status AS status, c.recording_sha256 AS sha256, c.recording_format AS stored_as INTO call
    FROM public.call_logs AS c WHERE c.id = request_recording_download.call_id;
    PERFORM app.refuse_unstored(FOUND, call.status);
    -- Requests at the same moment do not see one another and may pass the limit by as many as they are.
    SELECT count(*) FILTER (WHERE d.requested_by = who.asker) AS by_user, count(*) AS by_all INTO lately
    FROM public.recording_downloads AS d
    WHERE d.org_id = who.org_id AND d.kind = 'link' AND d.created_at > now() - interval '1 minute';
    IF lately.by_user >= 60 OR lately.by_all >= 600 THEN
        RAISE EXCEPTION 'too_many_downloads: at most 60 a minute for a user, 600 for an organisation'
            USING ERRCODE = 'PT429';
    END IF;
    INSERT INTO public.recording_downloads AS d (org_id, call_id, requested_by, reason, sha256, format)
    VALUES (who.org_id, request_recording_download.call_id, who.asker, who.reason_kept, call.sha256,
        nullif(request_recording_download.format, call.stored_as))
    RETURNING d.id INTO made;
    PERFORM pg_notify('recording_upload_queue', '');
    RETURN made;
END
$$;

-- The calls that a filter finds, of those whose recording is stored. Its keys: started_from, started_before (times),
-- agent_id, lead_id, direction. An empty one finds them all.
CREATE FUNCTION app.calls_found(filter jsonb) RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    wanted record;
BEGIN
    IF jsonb_typeof(filter) <> 'object'
        OR filter - ARRAY['started_from', 'started_before', 'agent_id', 'lead_id', 'direction'] <> '{}' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'filter_unknown: a filter has started_from, started_before, agent_id, lead_id, direction, or nothing';
    END IF;
    BEGIN
        SELECT * INTO wanted FROM jsonb_to_record(filter)
            AS f (started_from timestamptz, started_before timestamptz, agent_id uuid, lead_id uuid, direction text);
    EXCEPTION WHEN data_exception THEN
        RAISE EXCEPTION 'filter_unknown: times as 2026-11-28T10:00:00Z, ids as UUIDs' USING ERRCODE = 'invalid_parameter_value';
    END;
    RETURN QUERY
        SELECT c.id FROM public.call_logs AS c
        WHERE c.org_id = public.auth_org_id() AND c.recording_status = 'completed'
          AND (wanted.started_from IS NULL OR c.started_at >= wanted.started_from)
          AND (wanted.started_before IS NULL OR c.started_at < wanted.started_before)
          AND (wanted.agent_id IS NULL OR c.agent_id = wanted.agent_id)
          AND (wanted.lead_id IS NULL OR c.lead_id = wanted.lead_id)
          AND (wanted.direction IS NULL OR c.direction = wanted.direction)
        -- One more than may be: enough to know.
        LIMIT 10001;
END
$$;

-- Ask for many recordings in one ZIP, as the signed-in user: those of call_ids, or those that filter finds. Returns the id
-- of a row of recording_exports, on which status and recordings_done appear; when it is ready, the link stands on the rows
-- of recording_downloads that have this export_id, one for each recording (NOTIFY recording_downloads, with the id).
--
-- Refused as a single download is, by the first call of call_ids that cannot be handed out; a filter passes over those.
-- And: nothing_selected (22023: give call_ids or filter, and not both), filter_unknown (22023), nothing_found (PT404),
-- too_many_recordings (PT413), too_many_exports (PT429).
CREATE FUNCTION public.request_recording_export(call_ids uuid[] DEFAULT NULL, reason text DEFAULT NULL,
    filter jsonb DEFAULT NULL) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    who    record;
    lately record;
    wanted uuid[];
    unfit  record;
    made   uuid;
BEGIN
    SELECT * INTO STRICT who FROM app.take_request(request_recording_export.reason);
    IF (request_recording_export.call_ids IS NULL) = (request_recording_export.filter IS NULL) THEN
        RAISE EXCEPTION 'nothing_selected: give call_ids or filter, one of the two'
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF request_recording_export.filter IS NOT NULL THEN
        SELECT array_agg(found) INTO wanted FROM app.calls_found(request_recording_export.filter) AS found;
    ELSE
        SELECT array_agg(DISTINCT given) INTO wanted FROM unnest(request_recording_export.call_ids) AS given;
    END IF;
    IF wanted IS NULL THEN
        RAISE EXCEPTION 'nothing_found: no stored recording is among these' USING ERRCODE = 'PT404';
    ELSIF cardinality(wanted) > 10000 THEN
        RAISE EXCEPTION 'too_many_recordings: at most 10000 in an export; ask for fewer, several times'
            USING ERRCODE = 'PT413';
    END IF;
    SELECT c.id IS NOT NULL AS found, c.recording_status AS status INTO unfit
    FROM unnest(wanted) AS w (id) LEFT JOIN public.call_logs AS c ON c.org_id = who.org_id AND c.id = w.id
    WHERE c.recording_status IS DISTINCT FROM 'completed' LIMIT 1;
    IF FOUND THEN
        PERFORM app.refuse_unstored(unfit.found, unfit.status);
    END IF;
    SELECT count(*) FILTER (WHERE e.requested_by = who.asker) AS by_user, count(*) AS by_all INTO lately
    FROM public.recording_exports AS e WHERE e.org_id = who.org_id AND e.created_at > now() - interval '1 hour';
    IF lately.by_user >= 20 OR lately.by_all >= 100 THEN
        RAISE EXCEPTION 'too_many_exports: at most 20 an hour for a user, 100 for an organisation'
            USING ERRCODE = 'PT429';
    END IF;
    INSERT INTO public.recording_exports AS e (org_id, requested_by, reason, recordings_total)
    VALUES (who.org_id, who.asker, who.reason_kept, cardinality(wanted)) RETURNING e.id INTO made;
    INSERT INTO public.recording_downloads (org_id, call_id, requested_by, reason, kind, export_id, sha256)
    SELECT who.org_id, c.id, who.asker, who.reason_kept, 'export', made, c.recording_sha256
    FROM public.call_logs AS c WHERE c.org_id = who.org_id AND c.id = ANY (wanted);
    PERFORM pg_notify('recording_upload_queue', '');
    RETURN made;
END
$$;

-- Tells who waits, and writes down what became of it. Of an export each recording is written down when it is asked for, and
-- what becomes of all of them once.
CREATE OR REPLACE FUNCTION app.record_download() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    named constant text := coalesce(current_setting('app.named_org_id', true), '');
BEGIN
    -- One and the same payload is told once a transaction.
    PERFORM pg_notify('recording_downloads', coalesce(NEW.export_id, NEW.id)::text);
    PERFORM set_config('app.named_org_id', NEW.org_id::text, true);
    INSERT INTO public.audit_log (org_id, actor, action, subject_id, reason, detail)
    VALUES (NEW.org_id, session_user, 'download_' || NEW.status, NEW.id,
        CASE NEW.status WHEN 'requested' THEN NEW.reason WHEN 'revoked' THEN current_setting('app.reason', true) END,
        jsonb_strip_nulls(jsonb_build_object('call_id', NEW.call_id, 'requested_by', NEW.requested_by,
            'export_id', NEW.export_id, 'format', NEW.format,
            'sha256', NEW.sha256, 'expires_at', NEW.expires_at, 'error_code', NEW.error_code,
            'unverified_actor', left(nullif(current_setting('app.actor', true), ''), 200))));
    -- The rest of the transaction is for whom it was before.
    PERFORM set_config('app.named_org_id', named, true);
    RETURN NULL;
END
$$;

CREATE FUNCTION app.record_export() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    named constant text := coalesce(current_setting('app.named_org_id', true), '');
BEGIN
    PERFORM pg_notify('recording_downloads', NEW.id::text);
    -- Begun, put back, so many done: told, and nothing to keep.
    IF NEW.status = 'processing' OR TG_OP = 'UPDATE' AND NEW.status IN (OLD.status, 'requested') THEN
        RETURN NULL;
    END IF;
    PERFORM set_config('app.named_org_id', NEW.org_id::text, true);
    INSERT INTO public.audit_log (org_id, actor, action, subject_id, reason, detail)
    VALUES (NEW.org_id, session_user, 'export_' || NEW.status, NEW.id,
        CASE NEW.status WHEN 'requested' THEN NEW.reason WHEN 'revoked' THEN current_setting('app.reason', true) END,
        jsonb_strip_nulls(jsonb_build_object('requested_by', NEW.requested_by, 'recordings', NEW.recordings_total,
            'sha256', NEW.sha256, 'size_bytes', NEW.size_bytes, 'expires_at', NEW.expires_at,
            'error_code', NEW.error_code,
            'unverified_actor', left(nullif(current_setting('app.actor', true), ''), 200))));
    PERFORM set_config('app.named_org_id', named, true);
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION public.request_recording_download, public.request_recording_export, app.take_request,
    app.refuse_unstored, app.calls_found, app.record_export FROM PUBLIC;
REVOKE ALL ON FUNCTION public.request_recording_download, public.request_recording_export FROM anon, authenticated;
GRANT EXECUTE ON FUNCTION public.request_recording_download, public.request_recording_export TO authenticated;
GRANT EXECUTE ON FUNCTION app.record_export TO recordings_owner;

SET LOCAL ROLE recordings_owner;
REVOKE CREATE ON SCHEMA app FROM recording_download_requester;
DROP TRIGGER record_change ON public.recording_downloads;
CREATE TRIGGER record_change AFTER UPDATE ON public.recording_downloads
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status AND NEW.kind = 'link') EXECUTE FUNCTION app.record_download();
CREATE TRIGGER record_request AFTER INSERT ON public.recording_exports
    FOR EACH ROW EXECUTE FUNCTION app.record_export();
CREATE TRIGGER record_change AFTER UPDATE ON public.recording_exports
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status OR OLD.recordings_done <> NEW.recordings_done)
    EXECUTE FUNCTION app.record_export();

SET LOCAL ROLE recording_operator_actions;
-- Take a link away before its time, with a reason for the audit log: revoked, already_over, or not_found. The row shows
-- it no more; whoever has copied it can use it until it expires by itself, which no store can help. id: of a download, or
-- of an export; of a recording in an export: all of it, and its ZIP is deleted.
CREATE OR REPLACE FUNCTION public.revoke_recording_download(id uuid, reason text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    named  uuid;
    status text;
BEGIN
    IF coalesce(revoke_recording_download.reason, '') !~ '\S' OR length(revoke_recording_download.reason) > 500 THEN
        RAISE EXCEPTION 'reason must be 1 to 500 characters: say why, it is kept in audit_log'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM set_config('app.named_upload_id', coalesce(revoke_recording_download.id::text, ''), true);
    PERFORM set_config('app.reason', btrim(revoke_recording_download.reason, E' \t\r\n'), true);
    SELECT d.export_id INTO named FROM public.recording_downloads AS d WHERE d.id = revoke_recording_download.id;
    named := coalesce(named, revoke_recording_download.id);
    PERFORM set_config('app.named_upload_id', coalesce(named::text, ''), true);
    -- The export's row first, as its worker takes them.
    SELECT e.status INTO status FROM public.recording_exports AS e WHERE e.id = named FOR UPDATE;
    IF NOT FOUND THEN
        SELECT d.status INTO status FROM public.recording_downloads AS d WHERE d.id = named FOR UPDATE;
    END IF;
    IF NOT FOUND THEN
        RETURN 'not_found';
    ELSIF status NOT IN ('requested', 'processing', 'ready') THEN
        RETURN 'already_over';
    END IF;
    UPDATE public.recording_exports AS e SET status = 'revoked', lease_expires_at = NULL WHERE e.id = named;
    UPDATE public.recording_downloads AS d SET status = 'revoked'
    WHERE named IN (d.id, d.export_id) AND d.status IN ('requested', 'ready');
    RETURN 'revoked';
END
$$;
RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM recording_download_requester, recording_operator_actions;
