-- What was refused, so that whoever forges doorbells is seen. Runs as the administrator.
--
-- A worker reports each through one function, which says what was wrong and keeps count. Whoever fills the broker with
-- forgeries, or has taken a worker over, can add to the counts and, within bounds, to the audit log, and to nothing else.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'recording_refusal_reporter') THEN
        CREATE ROLE recording_refusal_reporter NOLOGIN NOINHERIT;
    ELSIF EXISTS (SELECT FROM pg_catalog.pg_roles
                  WHERE rolname = 'recording_refusal_reporter' AND (rolsuper OR rolbypassrls)) THEN
        RAISE EXCEPTION 'role recording_refusal_reporter is superuser or has BYPASSRLS'
            USING HINT = 'ALTER ROLE recording_refusal_reporter NOSUPERUSER NOBYPASSRLS, then migrate again';
    END IF;
    IF NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('GRANT recording_refusal_reporter TO %I', current_user);
    END IF;
END
$$;

GRANT USAGE ON SCHEMA public TO recording_refusal_reporter;

SET LOCAL ROLE recordings_owner;

-- How many doorbells were refused in an hour, and why:
-- malformed    not a doorbell at all: other bytes, types, tasks
-- missing      no grant in it
-- misdirected  the grant is for something else than the message says
-- forged       not a grant, or its signature is not that of the key it names
-- unknown_key  names a key that was never installed
-- retired_key  signed with a key that was revoked or has run out
-- unfit        signed, and not for a worker, not for an organisation, or not yet
-- late         all is well with it but that its time is over: nobody's fault
CREATE TABLE app.refused_grants (
    hour     timestamptz NOT NULL,
    kind     text NOT NULL CHECK (kind IN ('malformed', 'missing', 'misdirected', 'forged', 'unknown_key',
                                           'retired_key', 'unfit', 'late')),
    refused  bigint NOT NULL DEFAULT 1,
    last_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (hour, kind)
);
ALTER TABLE app.refused_grants ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.refused_grants FORCE ROW LEVEL SECURITY;

CREATE POLICY reporter ON app.refused_grants TO recording_refusal_reporter USING (true) WITH CHECK (true);
CREATE POLICY operators_read ON app.refused_grants FOR SELECT TO recording_ops USING (true);
GRANT SELECT, INSERT (hour, kind), UPDATE (refused, last_at), DELETE
    ON app.refused_grants TO recording_refusal_reporter;
GRANT SELECT ON app.refused_grants TO recording_ops;

-- No organisation, for none could be trusted; and who reports is the login, and cannot be written otherwise.
GRANT INSERT (actor, action, detail) ON public.audit_log TO recording_refusal_reporter;
CREATE POLICY refused_grant ON public.audit_log FOR INSERT TO recording_refusal_reporter
    WITH CHECK (org_id IS NULL AND subject_id IS NULL AND actor = session_user AND action = 'grant_refused');

GRANT USAGE, CREATE ON SCHEMA app TO recording_grant_verifier, recording_refusal_reporter;

SET LOCAL ROLE recording_grant_verifier;

-- What is wrong with the grant in app.task_grant, and which key it names. Null: nothing, app.task_org_id() takes it.
-- Not for workers: only through the report below.
CREATE FUNCTION app.grant_fault(OUT fault text, OUT kid text) RETURNS record
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    token  text   := coalesce(current_setting('app.task_grant', true), '');
    parts  text[] := string_to_array(token, '.');
    header jsonb;
    claims jsonb;
    key    app.grant_keys;
BEGIN
    BEGIN
        PERFORM app.task_org_id();
        RETURN;
    EXCEPTION WHEN insufficient_privilege THEN
        fault := CASE WHEN token = '' THEN 'missing' ELSE 'forged' END;
    END;
    IF cardinality(parts) IS DISTINCT FROM 3 OR length(token) > 4096 THEN
        RETURN;
    END IF;
    header := convert_from(decode(rpad(translate(parts[1], '-_', '+/'), (length(parts[1]) + 3) / 4 * 4, '='), 'base64'), 'UTF8');
    claims := convert_from(decode(rpad(translate(parts[2], '-_', '+/'), (length(parts[2]) + 3) / 4 * 4, '='), 'base64'), 'UTF8');
    kid := substring(header ->> 'kid' FROM '^[A-Za-z0-9_-]{1,64}$');
    SELECT * INTO key FROM app.grant_keys AS k WHERE k.kid = header ->> 'kid';
    IF key.kid IS NULL THEN
        fault := CASE WHEN kid IS NULL THEN 'forged' ELSE 'unknown_key' END;
    ELSIF header ->> 'alg' = 'HS256' AND sha256(convert_to(parts[3], 'UTF8')) = sha256(convert_to(
        rtrim(translate(encode(sha256(key.outer_pad || sha256(key.inner_pad
            || convert_to(parts[1] || '.' || parts[2], 'UTF8'))), 'base64'), '+/', '-_'), '='), 'UTF8'))
    THEN
        fault := CASE
            WHEN key.expires_at <= clock_timestamp() THEN 'retired_key'
            WHEN claims ->> 'aud' = 'recording-worker'
                AND (claims ->> 'exp')::double precision <= extract(epoch FROM clock_timestamp()) THEN 'late'
            ELSE 'unfit'
        END;
    END IF;
EXCEPTION WHEN data_exception THEN
    RETURN;
END
$$;

REVOKE ALL ON FUNCTION app.grant_fault FROM PUBLIC;
GRANT EXECUTE ON FUNCTION app.grant_fault TO recording_refusal_reporter;

SET LOCAL ROLE recording_refusal_reporter;

-- Workers. One doorbell was refused: its grant, in app.task_grant, or what the worker saw by itself (`seen`: malformed,
-- missing, misdirected). Ids are as the message has them, which proves nothing. Returns the kind; null if the grant is
-- good after all, and then nothing is written.
--
-- Each hour the first 20 of a kind are audited one by one, then the 100th, the 1000th and so on: a flood leaves its trace
-- and fills nothing. Lateness is counted and not audited. Counts are kept for 90 days.
CREATE FUNCTION app.report_refused_grant(
    worker      text,
    task        text  DEFAULT NULL,
    message_id  uuid  DEFAULT NULL,
    org_id      uuid  DEFAULT NULL,
    upload_id   uuid  DEFAULT NULL,
    seen        text  DEFAULT NULL
) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    kind  text := seen;
    kid   text;
    so_far bigint;
BEGIN
    IF seen IS NULL THEN
        SELECT f.fault, f.kid INTO kind, kid FROM app.grant_fault() AS f;
        IF kind IS NULL THEN
            RETURN NULL;
        END IF;
    ELSIF seen NOT IN ('malformed', 'missing', 'misdirected') THEN
        RAISE EXCEPTION 'seen is malformed, missing or misdirected' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO app.refused_grants AS r (hour, kind) VALUES (date_trunc('hour', now(), 'UTC'), kind)
    ON CONFLICT ON CONSTRAINT refused_grants_pkey DO UPDATE SET refused = r.refused + 1, last_at = now()
    RETURNING r.refused INTO so_far;
    IF so_far = 1 THEN
        DELETE FROM app.refused_grants AS r WHERE r.hour < now() - interval '90 days';
    END IF;
    IF kind <> 'late' AND (so_far <= 20 OR so_far::text ~ '^10+$') THEN
        INSERT INTO public.audit_log (actor, action, detail)
        VALUES (session_user, 'grant_refused', jsonb_strip_nulls(jsonb_build_object(
            'kind', kind, 'so_far_this_hour', so_far, 'kid', kid, 'worker', left(worker, 255), 'task', left(task, 64),
            'message_id', message_id, 'claimed_org_id', org_id, 'claimed_upload_id', upload_id)));
    END IF;
    RETURN kind;
END
$$;

REVOKE ALL ON FUNCTION app.report_refused_grant FROM PUBLIC, anon, authenticated;
GRANT EXECUTE ON FUNCTION app.report_refused_grant TO recording_worker;

SET LOCAL ROLE recordings_owner;

REVOKE CREATE ON SCHEMA app FROM recording_grant_verifier, recording_refusal_reporter;
