-- Providers' credentials: how they are stored, looked at, sealed again and removed. Runs as the administrator.
--
-- They are sealed before they get here, and the key that opens them never does. recording_ops sees which there are, under
-- which key; everything else it does by the functions below, each of which writes down who, why, whose and under which
-- key. Their role sees the organisation that a call names and no other.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'recording_integrator') THEN
        CREATE ROLE recording_integrator NOLOGIN NOINHERIT;
    ELSIF EXISTS (SELECT FROM pg_catalog.pg_roles
                  WHERE rolname = 'recording_integrator' AND (rolsuper OR rolbypassrls)) THEN
        RAISE EXCEPTION 'role recording_integrator is superuser or has BYPASSRLS'
            USING HINT = 'ALTER ROLE recording_integrator NOSUPERUSER NOBYPASSRLS, then migrate again';
    END IF;
    IF NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('GRANT recording_integrator TO %I', current_user);
    END IF;
END
$$;

GRANT USAGE ON SCHEMA public TO recording_integrator;

SET LOCAL ROLE recordings_owner;

-- The id of the key that a value was sealed with, from the value's own head (workers/credentials.py): version 1, length,
-- id. Null: nothing that this system sealed.
CREATE FUNCTION app.seal_key_id(sealed bytea) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- Step by step: within one statement get_byte() may be asked for a byte that is not there.
    IF sealed IS NULL OR octet_length(sealed) < 3 THEN
        RETURN NULL;
    ELSIF get_byte(sealed, 0) <> 1 OR octet_length(sealed) <= 2 + get_byte(sealed, 1) THEN
        RETURN NULL;
    END IF;
    RETURN substring(encode(substring(sealed FROM 3 FOR get_byte(sealed, 1)), 'escape')
        FROM '^[A-Za-z0-9._-]{1,64}$');
END
$$;
REVOKE ALL ON FUNCTION app.seal_key_id FROM PUBLIC;
GRANT EXECUTE ON FUNCTION app.seal_key_id TO recording_integrator;

ALTER TABLE public.integrations
    ADD COLUMN key_id text GENERATED ALWAYS AS (app.seal_key_id(sealed_credentials)) STORED;

GRANT SELECT (id, org_id, provider, key_id, created_at, updated_at) ON public.integrations TO recording_ops;
CREATE POLICY operators_read ON public.integrations FOR SELECT TO recording_ops USING (true);

GRANT EXECUTE ON FUNCTION app.named_org_id() TO recording_integrator;
GRANT SELECT (id) ON public.organizations TO recording_integrator;
GRANT SELECT (id, org_id, provider, sealed_credentials, key_id), INSERT (org_id, provider, sealed_credentials),
    UPDATE (sealed_credentials), DELETE ON public.integrations TO recording_integrator;
GRANT SELECT (id, at, org_id, actor, action, subject_id),
    INSERT (org_id, actor, action, subject_id, reason, detail) ON public.audit_log TO recording_integrator;
CREATE POLICY named_organization_integrations ON public.organizations FOR SELECT TO recording_integrator
    USING (id = (SELECT app.named_org_id()));
CREATE POLICY named_organization ON public.integrations TO recording_integrator
    USING (org_id = (SELECT app.named_org_id())) WITH CHECK (org_id = (SELECT app.named_org_id()));
-- Who acted is the login, and cannot be written otherwise.
CREATE POLICY named_organization_integrations ON public.audit_log FOR INSERT TO recording_integrator
    WITH CHECK (org_id = (SELECT app.named_org_id()) AND actor = session_user
                AND action IN ('integration_set', 'integration_announced', 'integration_resealed', 'integration_removed'));
-- Announcements: the caller's own, of the last minutes.
CREATE POLICY own_announcement ON public.audit_log FOR SELECT TO recording_integrator
    USING (org_id = (SELECT app.named_org_id()) AND actor = session_user AND action = 'integration_announced'
           AND at > now() - interval '5 minutes');

GRANT USAGE, CREATE ON SCHEMA app TO recording_integrator;
RESET ROLE;
GRANT CREATE ON SCHEMA public TO recording_integrator;
SET LOCAL ROLE recording_integrator;

-- What each of them begins with: the organisation is named, and there is a reason.
CREATE FUNCTION app.name_integration(org_id uuid, reason text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF coalesce(name_integration.reason, '') !~ '\S' OR length(name_integration.reason) > 500 THEN
        RAISE EXCEPTION 'reason must be 1 to 500 characters: say why, it is kept in audit_log'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM set_config('app.named_org_id', coalesce(name_integration.org_id::text, ''), true);
    IF NOT EXISTS (SELECT FROM public.organizations AS o WHERE o.id = name_integration.org_id) THEN
        RAISE EXCEPTION 'no organisation has the id %', name_integration.org_id
            USING ERRCODE = 'invalid_parameter_value', HINT = 'see: recordings orgs list';
    END IF;
END
$$;

-- A plain secret that was given by mistake is refused before it is stored.
CREATE FUNCTION app.refuse_unsealed(sealed bytea) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF app.seal_key_id(sealed) IS NULL OR octet_length(sealed) > 16384 THEN
        RAISE EXCEPTION 'the credentials are not sealed' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'set them with: recordings integrations set';
    END IF;
END
$$;

CREATE FUNCTION app.note_integration(action text, org_id uuid, integration_id uuid, reason text, detail jsonb)
RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO public.audit_log (org_id, actor, action, subject_id, reason, detail)
    VALUES (note_integration.org_id, session_user, note_integration.action, note_integration.integration_id,
        btrim(note_integration.reason, E' \t\r\n'),
        jsonb_strip_nulls(note_integration.detail || jsonb_build_object(
            'unverified_actor', left(nullif(current_setting('app.actor', true), ''), 200))))
$$;

-- Store an organisation's credentials for a provider, or replace those that are there. Returns `stored` or `replaced`.
CREATE FUNCTION public.set_integration(org_id uuid, provider text, sealed_credentials bytea, reason text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    before record;
    stored record;
BEGIN
    PERFORM app.name_integration(set_integration.org_id, set_integration.reason);
    PERFORM app.refuse_unsealed(set_integration.sealed_credentials);
    IF set_integration.provider IS NULL OR set_integration.provider !~ '^[a-z][a-z0-9_-]{0,31}$' THEN
        RAISE EXCEPTION 'provider must be a short lower-case name, such as twilio or vapi'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT i.id, i.key_id INTO before FROM public.integrations AS i
    WHERE i.org_id = set_integration.org_id AND i.provider = set_integration.provider FOR UPDATE;
    INSERT INTO public.integrations AS i (org_id, provider, sealed_credentials)
    VALUES (set_integration.org_id, set_integration.provider, set_integration.sealed_credentials)
    ON CONFLICT (org_id, provider) DO UPDATE SET sealed_credentials = excluded.sealed_credentials
    RETURNING i.id, i.key_id INTO stored;
    PERFORM app.note_integration('integration_set', set_integration.org_id, stored.id, set_integration.reason,
        jsonb_build_object('provider', set_integration.provider, 'key_id', stored.key_id, 'replaced', before.key_id));
    RETURN CASE WHEN before.id IS NULL THEN 'stored' ELSE 'replaced' END;
END
$$;

-- Say that a sealed value is going to be read. Returns what announced_integration() wants to be shown; null: there is
-- none for this provider. Two steps, because the trace has to be there before the value is: the second one believes only
-- what an earlier transaction has committed, and so a rollback cannot take it back.
CREATE FUNCTION public.announce_integration(org_id uuid, provider text, reason text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    found        record;
    announcement bigint;
BEGIN
    PERFORM app.name_integration(announce_integration.org_id, announce_integration.reason);
    SELECT i.id, i.key_id INTO found FROM public.integrations AS i
    WHERE i.org_id = announce_integration.org_id AND i.provider = announce_integration.provider;
    IF found.id IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM app.note_integration('integration_announced', announce_integration.org_id, found.id,
        announce_integration.reason,
        jsonb_build_object('provider', announce_integration.provider, 'key_id', found.key_id));
    SELECT max(a.id) INTO announcement FROM public.audit_log AS a WHERE a.subject_id = found.id AND a.at = now();
    RETURN announcement;
END
$$;

-- The sealed value that was announced, as it is now. Null: this login has announced no such thing within the last five
-- minutes, or it has been removed since.
CREATE FUNCTION public.announced_integration(org_id uuid, announcement bigint) RETURNS bytea
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('app.named_org_id', coalesce(announced_integration.org_id::text, ''), true);
    -- Earlier than this transaction, and visible to it: so committed. Its own rows bear its own time.
    RETURN (SELECT i.sealed_credentials FROM public.integrations AS i JOIN public.audit_log AS a ON a.subject_id = i.id
            WHERE a.id = announced_integration.announcement AND a.at < now());
END
$$;

-- Put the same credentials, sealed with another key, in the place of the value that they were opened from. Returns
-- `resealed`, or why nothing was done: `changed` (the value there is another one: newer credentials), `not_found`.
CREATE FUNCTION public.reseal_integration(
    org_id uuid, provider text, replaces bytea, sealed_credentials bytea, reason text
) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    before record;
BEGIN
    PERFORM app.name_integration(reseal_integration.org_id, reseal_integration.reason);
    PERFORM app.refuse_unsealed(reseal_integration.sealed_credentials);
    SELECT i.id, i.key_id, i.sealed_credentials INTO before FROM public.integrations AS i
    WHERE i.org_id = reseal_integration.org_id AND i.provider = reseal_integration.provider FOR UPDATE;
    IF before.id IS NULL THEN
        RETURN 'not_found';
    ELSIF before.sealed_credentials IS DISTINCT FROM reseal_integration.replaces THEN
        RETURN 'changed';
    END IF;
    UPDATE public.integrations AS i SET sealed_credentials = reseal_integration.sealed_credentials
    WHERE i.id = before.id;
    PERFORM app.note_integration('integration_resealed', reseal_integration.org_id, before.id,
        reseal_integration.reason, jsonb_build_object('provider', reseal_integration.provider,
            'key_id', app.seal_key_id(reseal_integration.sealed_credentials), 'replaced', before.key_id));
    RETURN 'resealed';
END
$$;

-- Take an organisation's credentials for a provider away. Returns `removed` or `not_found`.
CREATE FUNCTION public.remove_integration(org_id uuid, provider text, reason text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    removed record;
BEGIN
    PERFORM app.name_integration(remove_integration.org_id, remove_integration.reason);
    DELETE FROM public.integrations AS i
    WHERE i.org_id = remove_integration.org_id AND i.provider = remove_integration.provider
    RETURNING i.id, i.key_id INTO removed;
    IF removed.id IS NULL THEN
        RETURN 'not_found';
    END IF;
    PERFORM app.note_integration('integration_removed', remove_integration.org_id, removed.id,
        remove_integration.reason, jsonb_build_object('provider', remove_integration.provider, 'key_id', removed.key_id));
    RETURN 'removed';
END
$$;

REVOKE ALL ON FUNCTION app.name_integration, app.refuse_unsealed, app.note_integration, public.set_integration,
    public.announce_integration, public.announced_integration, public.reseal_integration, public.remove_integration
    FROM PUBLIC;
-- Supabase gives its API roles every new function of this schema by default.
REVOKE ALL ON FUNCTION public.set_integration, public.announce_integration, public.announced_integration,
    public.reseal_integration, public.remove_integration FROM anon, authenticated;
GRANT EXECUTE ON FUNCTION public.set_integration, public.announce_integration, public.announced_integration,
    public.reseal_integration, public.remove_integration TO recording_ops;

RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM recording_integrator;
SET LOCAL ROLE recordings_owner;
REVOKE CREATE ON SCHEMA app FROM recording_integrator;
RESET ROLE;
