SET LOCAL ROLE recordings_owner;

-- Who is asking: the three functions on which every policy of 0004_access.sql rests.

-- Users. The organisation of a signed-in user, from app_metadata of the verified token's claims; null (no rows) when
-- anything about it is missing, empty or malformed. Never from user_metadata: users can write that themselves.
CREATE FUNCTION public.auth_org_id() RETURNS uuid
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    claim jsonb;
BEGIN
    claim := current_setting('request.jwt.claims', true)::jsonb #> '{app_metadata,org_id}';
    -- Cast in here: a cast at the function's edge would fail outside this block's handler.
    RETURN CASE WHEN jsonb_typeof(claim) = 'string' THEN (claim #>> '{}')::uuid END;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END
$$;

-- Users. Who within the organisation: the token's subject, null under the same conditions.
CREATE FUNCTION public.auth_user_id() RETURNS uuid
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    claim jsonb;
BEGIN
    claim := current_setting('request.jwt.claims', true)::jsonb #> '{sub}';
    -- Cast in here: a cast at the function's edge would fail outside this block's handler.
    RETURN CASE WHEN jsonb_typeof(claim) = 'string' THEN (claim #>> '{}')::uuid END;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION public.auth_org_id(), public.auth_user_id() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.auth_org_id(), public.auth_user_id() TO authenticated;

-- Enqueueing. enqueue_recording() names the organisation that it was called for, and its own role can touch no other.
-- The setting can be written by anyone, and means nothing to any other role.
CREATE FUNCTION app.enqueue_org_id() RETURNS uuid
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT nullif(current_setting('app.enqueue_org_id', true), '')::uuid
$$;

REVOKE ALL ON FUNCTION app.enqueue_org_id() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION app.enqueue_org_id() TO recording_enqueuer;

-- Workers. The one function that app.grant_keys is for runs as this role. Forced, so that a grant too many on the keys
-- shows none of them, and the owner of the tables cannot sign for anybody.
ALTER TABLE app.grant_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.grant_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY verifier ON app.grant_keys FOR SELECT TO recording_grant_verifier USING (true);
GRANT SELECT ON app.grant_keys TO recording_grant_verifier;
GRANT USAGE, CREATE ON SCHEMA app TO recording_grant_verifier;

SET LOCAL ROLE recording_grant_verifier;

-- Workers. The organisation of the task grant (section 5) in app.task_grant: a JWT, HS256, minted by the dispatcher for
-- one organisation, verified here, inside the database, at every statement. Anything wrong with it raises 42501; the
-- message does not say what, because the one who would learn from it is the one who forged it.
CREATE FUNCTION app.task_org_id() RETURNS uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    token     text   := coalesce(current_setting('app.task_grant', true), '');
    parts     text[] := string_to_array(token, '.');
    header    jsonb;
    claims    jsonb;
    key       app.grant_keys;
    signature text;
    now_s     double precision := extract(epoch FROM clock_timestamp());
BEGIN
    IF cardinality(parts) = 3 AND length(token) <= 4096 THEN
        header := convert_from(decode(rpad(translate(parts[1], '-_', '+/'), (length(parts[1]) + 3) / 4 * 4, '='), 'base64'), 'UTF8');
        SELECT * INTO key FROM app.grant_keys AS k
            WHERE k.kid = header ->> 'kid' AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp());
        signature := rtrim(translate(encode(
            sha256(key.outer_pad || sha256(key.inner_pad || convert_to(parts[1] || '.' || parts[2], 'UTF8'))),
            'base64'), '+/', '-_'), '=');
        -- Hashed before they are compared: how long the comparison takes says nothing about the signature.
        IF header ->> 'alg' = 'HS256'
            AND sha256(convert_to(signature, 'UTF8')) = sha256(convert_to(parts[3], 'UTF8'))
        THEN
            claims := convert_from(decode(rpad(translate(parts[2], '-_', '+/'), (length(parts[2]) + 3) / 4 * 4, '='), 'base64'), 'UTF8');
            IF claims ->> 'aud' = 'recording-worker' AND jsonb_typeof(claims -> 'aud') = 'string'
                AND (claims ->> 'exp')::double precision > now_s
                AND (claims ->> 'iat')::double precision <= now_s + 60
                AND claims ->> 'sub' <> '' AND claims ->> 'jti' <> ''
                AND jsonb_typeof(claims -> 'org_id') = 'string'
            THEN
                RETURN (claims ->> 'org_id')::uuid;
            END IF;
        END IF;
    END IF;
    RAISE insufficient_privilege;
EXCEPTION WHEN data_exception OR insufficient_privilege THEN
    RAISE EXCEPTION 'no valid task grant' USING ERRCODE = 'insufficient_privilege',
        HINT = 'a worker acts for the organisation of the grant in its message, and for no other';
END
$$;

REVOKE ALL ON FUNCTION app.task_org_id() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION app.task_org_id() TO recording_worker;

SET LOCAL ROLE recordings_owner;

REVOKE CREATE ON SCHEMA app FROM recording_grant_verifier;
GRANT USAGE ON SCHEMA app TO recording_worker, recording_enqueuer;
