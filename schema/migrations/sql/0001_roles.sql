-- Roles. Runs as the administrator (a superuser, or Supabase's `postgres`); everything after this runs as their owner.
--
-- Roles belong to the cluster, not to the database: each is made only where it is missing, so that a second database,
-- or Supabase (which brings anon, authenticated, authenticator and service_role), keeps what it has.

DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN
        SELECT * FROM (VALUES
            -- Owns every table. NOINHERIT: being able to act as the definer roles below must not mean seeing what they see.
            ('recordings_owner',         'NOLOGIN NOINHERIT'),
            -- Owners of SECURITY DEFINER functions: each holds just what its functions need, none sees all (section 4).
            ('recording_grant_verifier', 'NOLOGIN NOINHERIT'),
            ('recording_enqueuer',       'NOLOGIN NOINHERIT'),
            -- Logins of the running system. Passwords are set by `recordings migrate`, never here.
            ('recording_dispatcher',     'LOGIN NOINHERIT'),
            ('recording_worker',         'LOGIN NOINHERIT'),
            ('call_handler',             'LOGIN NOINHERIT'),
            ('recording_ops',            'LOGIN NOINHERIT'),
            -- Users: PostgREST's and Supabase's names, so that either can stand in front of this database.
            ('anon',                     'NOLOGIN NOINHERIT'),
            ('authenticated',            'NOLOGIN NOINHERIT'),
            ('authenticator',            'LOGIN NOINHERIT')
        ) AS roles (name, attributes)
    LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted.name) THEN
            EXECUTE format('CREATE ROLE %I %s', wanted.name, wanted.attributes);
        END IF;
    END LOOP;

    -- A login that escapes row-level security would make every policy below decoration.
    FOR wanted IN
        SELECT rolname AS name FROM pg_catalog.pg_roles
        WHERE (rolsuper OR rolbypassrls)
          AND rolname IN ('recordings_owner', 'recording_grant_verifier', 'recording_enqueuer', 'recording_dispatcher',
                          'recording_worker', 'call_handler', 'recording_ops', 'anon', 'authenticated', 'authenticator')
    LOOP
        RAISE EXCEPTION 'role % is superuser or has BYPASSRLS', wanted.name
            USING HINT = format('ALTER ROLE %I NOSUPERUSER NOBYPASSRLS, then migrate again', wanted.name);
    END LOOP;

    FOR wanted IN SELECT unnest(ARRAY['anon', 'authenticated']) AS name
    LOOP
        IF NOT pg_has_role('authenticator', wanted.name, 'MEMBER') THEN
            EXECUTE format('GRANT %I TO authenticator', wanted.name);
        END IF;
    END LOOP;

    -- An administrator who is no superuser must be a member of a role to create objects in its name.
    IF NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('GRANT recordings_owner, recording_grant_verifier, recording_enqueuer TO %I', current_user);
    END IF;
END
$$;

-- Every statement of a worker enters by an index that begins with org_id: its plans stay that way at any size, and a
-- missing grant is an error on an empty table too, where a sequential scan would have nothing to compare it with.
ALTER ROLE recording_worker SET enable_seqscan = off;
ALTER ROLE recording_worker SET jit = off;
-- Somebody else's open transaction must not hold a slot of a worker without end, nor a worker's somebody else.
ALTER ROLE recording_worker SET lock_timeout = '5s';
ALTER ROLE recording_worker SET statement_timeout = '30s';
ALTER ROLE recording_worker SET idle_in_transaction_session_timeout = '60s';

GRANT CREATE, USAGE ON SCHEMA public TO recordings_owner;
GRANT USAGE ON SCHEMA public TO
    recording_enqueuer, recording_dispatcher, recording_worker, call_handler, recording_ops, authenticated, anon;

-- Private machinery: functions and keys that no API publishes. To become the owner of a schema a role must be allowed to
-- make one, for that moment.
DO $$
BEGIN
    EXECUTE format('GRANT CREATE ON DATABASE %I TO recordings_owner', current_database());
    ALTER SCHEMA app OWNER TO recordings_owner;
    EXECUTE format('REVOKE CREATE ON DATABASE %I FROM recordings_owner', current_database());
END
$$;
