-- A grant is verified once a transaction, not once for each table that a statement touches. Runs as the administrator.

SET LOCAL ROLE recordings_owner;
GRANT CREATE ON SCHEMA app TO recording_grant_verifier;
SET LOCAL ROLE recording_grant_verifier;

-- Workers. As before, and what came of it is kept for the transaction: app.task_memo holds the organisation, when the
-- grant ends and whose key it is, and app.task_memo_proof an HMAC of that and of the whole grant. Anybody may write both,
-- and nobody who cannot read the key can make them fit (decision 29). What does not fit is not asked what is wrong with it:
-- the grant is verified.
--
-- 'memo:' is no beginning of a grant, for a colon is no base64: the same key signs both, and neither passes for the other.
-- A memo has two blanks and the key's name has none, so these words fall apart in one way only.
--
-- set_config() in a STABLE function: the answer depends on no memo, so it does not matter how often, or whether, one was
-- written. PARALLEL UNSAFE, as every function is by default: a parallel worker may not set anything.
CREATE OR REPLACE FUNCTION app.task_org_id() RETURNS uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    token     text := coalesce(current_setting('app.task_grant', true), '');
    memo      text := current_setting('app.task_memo', true);
    key_named text;
    inner_pad bytea;
    outer_pad bytea;
BEGIN
    IF memo <> '' THEN
        key_named := split_part(memo, ' ', 3);
        SELECT m.inner_pad, m.outer_pad INTO inner_pad, outer_pad FROM app.grant_keys AS m
            WHERE m.kid = key_named AND (m.expires_at IS NULL OR m.expires_at > clock_timestamp());
        -- Hashed before they are compared, as below. Nothing of the memo is read before that: its casts cannot fail.
        IF sha256(convert_to(current_setting('app.task_memo_proof', true), 'UTF8')) = sha256(convert_to(encode(
            sha256(outer_pad || sha256(inner_pad || convert_to('memo:' || memo || ' ' || token, 'UTF8'))),
            'base64'), 'UTF8'))
        THEN
            IF split_part(memo, ' ', 2)::double precision > extract(epoch FROM clock_timestamp()) THEN
                RETURN split_part(memo, ' ', 1)::uuid;
            END IF;
        END IF;
    END IF;
    DECLARE
        parts     text[] := string_to_array(token, '.');
        header    jsonb;
        claims    jsonb;
        signature text;
        org       uuid;
        proof     text;
        now_s     double precision := extract(epoch FROM clock_timestamp());
    BEGIN
        IF cardinality(parts) = 3 AND length(token) <= 4096 THEN
            header := convert_from(decode(rpad(translate(parts[1], '-_', '+/'), (length(parts[1]) + 3) / 4 * 4, '='), 'base64'), 'UTF8');
            key_named := header ->> 'kid';
            SELECT k.inner_pad, k.outer_pad INTO inner_pad, outer_pad FROM app.grant_keys AS k
                WHERE k.kid = key_named AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp());
            signature := rtrim(translate(encode(
                sha256(outer_pad || sha256(inner_pad || convert_to(parts[1] || '.' || parts[2], 'UTF8'))),
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
                    org := (claims ->> 'org_id')::uuid;
                    -- In whole seconds, rounded down: how a fraction is written, a setting of the session decides.
                    memo := org || ' ' || floor(least((claims ->> 'exp')::double precision, 1e18))::bigint || ' ' || key_named;
                    -- Assigned, for PERFORM would be a query, with a plan and an executor of its own.
                    memo := set_config('app.task_memo', memo, true);
                    proof := set_config('app.task_memo_proof', encode(
                        sha256(outer_pad || sha256(inner_pad || convert_to('memo:' || memo || ' ' || token, 'UTF8'))),
                        'base64'), true);
                    RETURN org;
                END IF;
            END IF;
        END IF;
        RAISE insufficient_privilege;
    EXCEPTION WHEN data_exception OR insufficient_privilege THEN
        RAISE EXCEPTION 'no valid task grant' USING ERRCODE = 'insufficient_privilege',
            HINT = 'a worker acts for the organisation of the grant in its message, and for no other';
    END;
END
$$;

SET LOCAL ROLE recordings_owner;
REVOKE CREATE ON SCHEMA app FROM recording_grant_verifier;
RESET ROLE;
