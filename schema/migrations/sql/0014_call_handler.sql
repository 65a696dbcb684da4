-- Calls whose organisation the provider does not know: found by agent or number, or kept for review. Runs as the
-- administrator.
--
-- A webhook names an agent or a number, and no organisation. The call handler must not read those tables, and need not:
-- the function below finds the organisation and enqueues, in one transaction. It never guesses between two. What nobody
-- claims is kept, and an operator says whose it is.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'recording_call_receiver') THEN
        CREATE ROLE recording_call_receiver NOLOGIN NOINHERIT;
    ELSIF EXISTS (SELECT FROM pg_catalog.pg_roles
                  WHERE rolname = 'recording_call_receiver' AND (rolsuper OR rolbypassrls)) THEN
        RAISE EXCEPTION 'role recording_call_receiver is superuser or has BYPASSRLS'
            USING HINT = 'ALTER ROLE recording_call_receiver NOSUPERUSER NOBYPASSRLS, then migrate again';
    END IF;
    IF NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('GRANT recording_call_receiver TO %I', current_user);
    END IF;
END
$$;

GRANT USAGE ON SCHEMA public TO recording_call_receiver;

SET LOCAL ROLE recordings_owner;

-- By what a provider names, whosever it is: the keys begin with org_id.
CREATE INDEX agents_provider_agent_id ON public.agents (provider, provider_agent_id)
    WHERE provider_agent_id IS NOT NULL;
CREATE INDEX inbound_agent_config_phone_number ON public.inbound_agent_config (phone_number)
    WHERE phone_number IS NOT NULL;

-- Calls that nobody claims, until an operator says whose they are: then the row is gone, and the audit log tells of it.
-- The URL and the numbers of those who spoke are read by the function that enqueues, and by nobody else.
CREATE TABLE app.unclaimed_calls (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    provider           text NOT NULL CHECK (provider ~ '^[a-z][a-z0-9_-]{0,31}$'),
    provider_call_id   text NOT NULL CHECK (length(provider_call_id) BETWEEN 1 AND 255),
    recording_id       text NOT NULL CHECK (length(recording_id) BETWEEN 1 AND 255),
    source_url         text NOT NULL CHECK (source_url ~ '^https?://' AND length(source_url) <= 4096),
    -- By what it was looked for. The number is the organisation's own line, never the other party's.
    provider_agent_id  text CHECK (length(provider_agent_id) <= 255),
    phone_number       text CHECK (length(phone_number) <= 64),
    why                text NOT NULL CHECK (why IN ('nothing_named', 'agent_unknown', 'agent_ambiguous',
                                                    'number_unknown', 'number_ambiguous', 'agent_and_number_differ')),
    priority           integer NOT NULL DEFAULT 5 CHECK (priority BETWEEN 0 AND 9),
    direction          text CHECK (direction IN ('inbound', 'outbound')),
    from_number        text CHECK (length(from_number) <= 64),
    to_number          text CHECK (length(to_number) <= 64),
    started_at         timestamptz,
    ended_at           timestamptz,
    duration_s         integer CHECK (duration_s >= 0),
    deliveries         integer NOT NULL DEFAULT 1,
    received_at        timestamptz NOT NULL DEFAULT now(),
    last_received_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (provider, recording_id)
);
ALTER TABLE app.unclaimed_calls ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.unclaimed_calls FORCE ROW LEVEL SECURITY;

GRANT SELECT, INSERT (provider, provider_call_id, recording_id, source_url, provider_agent_id, phone_number, why,
    priority, direction, from_number, to_number, started_at, ended_at, duration_s),
    UPDATE (source_url, why, deliveries, last_received_at), DELETE ON app.unclaimed_calls TO recording_call_receiver;
GRANT SELECT (id, provider, provider_call_id, recording_id, provider_agent_id, phone_number, why, deliveries,
    received_at, last_received_at) ON app.unclaimed_calls TO recording_ops;
CREATE POLICY receiver ON app.unclaimed_calls TO recording_call_receiver USING (true) WITH CHECK (true);
CREATE POLICY operators_read ON app.unclaimed_calls FOR SELECT TO recording_ops USING (true);

-- Whose an agent or a number is, of every organisation: that, and nothing else of them.
GRANT SELECT (id, org_id, provider, provider_agent_id, is_active) ON public.agents TO recording_call_receiver;
GRANT SELECT (org_id, phone_number, is_active) ON public.inbound_agent_config TO recording_call_receiver;
CREATE POLICY whose ON public.agents FOR SELECT TO recording_call_receiver USING (true);
CREATE POLICY whose ON public.inbound_agent_config FOR SELECT TO recording_call_receiver USING (true);

GRANT INSERT (org_id, actor, action, subject_id, reason, detail) ON public.audit_log TO recording_call_receiver;
GRANT EXECUTE ON FUNCTION app.named_org_id() TO recording_call_receiver;
-- What was discarded was never known to be anybody's.
CREATE POLICY unclaimed_trail ON public.audit_log FOR INSERT TO recording_call_receiver
    WITH CHECK (actor = session_user
        AND ((action = 'unclaimed_call_assigned' AND org_id = (SELECT app.named_org_id()))
            OR (action = 'unclaimed_call_discarded' AND org_id IS NULL)));

GRANT USAGE, CREATE ON SCHEMA app TO recording_call_receiver;
SET LOCAL ROLE recording_enqueuer;
GRANT EXECUTE ON FUNCTION public.enqueue_recording TO recording_call_receiver;
RESET ROLE;
GRANT CREATE ON SCHEMA public TO recording_call_receiver;
SET LOCAL ROLE recording_call_receiver;

-- The organisation of an agent or a number, or why there is none. Users register both themselves, so one that two
-- organisations claim is nobody's, and a number does not speak for an agent that nobody knows.
CREATE FUNCTION app.whose_call(
    provider text, provider_agent_id text, phone_number text, OUT org_id uuid, OUT agent_id uuid, OUT why text
) LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    by_agent   uuid[];
    by_number  uuid[];
BEGIN
    SELECT array_agg(DISTINCT a.org_id), min(a.id::text)::uuid INTO by_agent, agent_id FROM public.agents AS a
    WHERE a.provider = whose_call.provider AND a.provider_agent_id = whose_call.provider_agent_id AND a.is_active;
    SELECT array_agg(DISTINCT c.org_id) INTO by_number FROM public.inbound_agent_config AS c
    WHERE c.phone_number = whose_call.phone_number AND c.is_active;
    why := CASE
        WHEN whose_call.provider_agent_id IS NULL AND whose_call.phone_number IS NULL THEN 'nothing_named'
        WHEN whose_call.provider_agent_id IS NOT NULL AND by_agent IS NULL THEN 'agent_unknown'
        WHEN cardinality(by_agent) > 1 THEN 'agent_ambiguous'
        WHEN by_agent IS NULL AND by_number IS NULL THEN 'number_unknown'
        WHEN by_agent IS NULL AND cardinality(by_number) > 1 THEN 'number_ambiguous'
        WHEN NOT by_agent <@ by_number THEN 'agent_and_number_differ'
    END;
    IF why IS NULL THEN
        org_id := (coalesce(by_agent, by_number))[1];
    ELSE
        agent_id := NULL;
    END IF;
END
$$;

-- Take in a call that has ended, as a provider's webhook reports it: the organisation is the one whose agent or number
-- it names; the call and the upload are enqueued as by enqueue_recording(), in the caller's transaction. A repeated
-- delivery is one recording. Where nobody or more than one claims it, the call is kept, and unclaimed_id says so.
--
-- provider_agent_id: the provider's id of the agent. phone_number: the organisation's own line, as in
-- inbound_agent_config. The other arguments are those of enqueue_recording(), and a bad one is its 22023.
CREATE FUNCTION public.receive_call(
    provider           text,
    provider_call_id   text,
    source_url         text,
    provider_agent_id  text        DEFAULT NULL,
    phone_number       text        DEFAULT NULL,
    recording_id       text        DEFAULT NULL,
    priority           integer     DEFAULT 5,
    direction          text        DEFAULT NULL,
    from_number        text        DEFAULT NULL,
    to_number          text        DEFAULT NULL,
    started_at         timestamptz DEFAULT NULL,
    ended_at           timestamptz DEFAULT NULL,
    duration_s         integer     DEFAULT NULL
) RETURNS TABLE (call_id uuid, upload_id uuid, created boolean, unclaimed_id uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    recording  constant text := coalesce(nullif(receive_call.recording_id, ''), receive_call.provider_call_id);
    agent      constant text := nullif(btrim(receive_call.provider_agent_id), '');
    line       constant text := nullif(btrim(receive_call.phone_number), '');
    found_for  record;
BEGIN
    SELECT * INTO found_for FROM app.whose_call(receive_call.provider, agent, line);
    IF found_for.why IS NULL THEN
        SELECT e.call_id, e.upload_id, e.created INTO call_id, upload_id, created FROM public.enqueue_recording(
            org_id => found_for.org_id, provider => receive_call.provider,
            provider_call_id => receive_call.provider_call_id, source_url => receive_call.source_url,
            recording_id => receive_call.recording_id, priority => receive_call.priority,
            direction => receive_call.direction, from_number => receive_call.from_number,
            to_number => receive_call.to_number, started_at => receive_call.started_at,
            ended_at => receive_call.ended_at, duration_s => receive_call.duration_s,
            agent_id => found_for.agent_id) AS e;
        -- It was delivered before anybody had registered its agent.
        DELETE FROM app.unclaimed_calls AS u WHERE u.provider = receive_call.provider AND u.recording_id = recording;
    ELSE
        INSERT INTO app.unclaimed_calls AS u (provider, provider_call_id, recording_id, source_url, provider_agent_id,
            phone_number, why, priority, direction, from_number, to_number, started_at, ended_at, duration_s)
        VALUES (receive_call.provider, receive_call.provider_call_id, recording, receive_call.source_url, agent, line,
            found_for.why, coalesce(receive_call.priority, 5), receive_call.direction, receive_call.from_number,
            receive_call.to_number, receive_call.started_at, receive_call.ended_at, receive_call.duration_s)
        ON CONFLICT (provider, recording_id) DO UPDATE SET source_url = excluded.source_url, why = excluded.why,
            deliveries = u.deliveries + 1, last_received_at = now()
        RETURNING u.id INTO unclaimed_id;
        created := false;
    END IF;
    RETURN NEXT;
EXCEPTION
    -- The row that was refused stands in the detail, URL and numbers and all.
    WHEN check_violation OR not_null_violation THEN
        RAISE EXCEPTION 'receive_call: an argument is missing or bad; see enqueue_recording()'
            USING ERRCODE = 'invalid_parameter_value';
END
$$;

-- The trail of what operators did with a kept call. The reason is asked for here, once.
CREATE FUNCTION app.note_unclaimed(action text, org_id uuid, subject_id uuid, reason text, detail jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF coalesce(note_unclaimed.reason, '') !~ '\S' OR length(note_unclaimed.reason) > 500 THEN
        RAISE EXCEPTION 'reason must be 1 to 500 characters: say why, it is kept in audit_log'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM set_config('app.named_org_id', coalesce(note_unclaimed.org_id::text, ''), true);
    INSERT INTO public.audit_log (org_id, actor, action, subject_id, reason, detail)
    VALUES (note_unclaimed.org_id, session_user, note_unclaimed.action, note_unclaimed.subject_id,
        btrim(note_unclaimed.reason, E' \t\r\n'),
        jsonb_strip_nulls(note_unclaimed.detail || jsonb_build_object(
            'unverified_actor', left(nullif(current_setting('app.actor', true), ''), 200))));
END
$$;

-- Say whose a kept call is: it is enqueued for that organisation, and kept no longer. Returns assigned, or not_found. An
-- organisation that does not exist is 23503, a missing reason 22023; then it stays.
CREATE FUNCTION public.assign_unclaimed_call(id uuid, org_id uuid, reason text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    kept      app.unclaimed_calls;
    enqueued  record;
BEGIN
    DELETE FROM app.unclaimed_calls AS u WHERE u.id = assign_unclaimed_call.id RETURNING u.* INTO kept;
    IF NOT FOUND THEN
        RETURN 'not_found';
    END IF;
    SELECT * INTO enqueued FROM public.enqueue_recording(
        org_id => assign_unclaimed_call.org_id, provider => kept.provider, provider_call_id => kept.provider_call_id,
        source_url => kept.source_url, recording_id => kept.recording_id, priority => kept.priority,
        direction => kept.direction, from_number => kept.from_number, to_number => kept.to_number,
        started_at => kept.started_at, ended_at => kept.ended_at, duration_s => kept.duration_s);
    PERFORM app.note_unclaimed('unclaimed_call_assigned', assign_unclaimed_call.org_id, enqueued.upload_id,
        assign_unclaimed_call.reason, jsonb_build_object('unclaimed_id', kept.id, 'provider', kept.provider,
            'provider_agent_id', kept.provider_agent_id, 'why', kept.why, 'received_at', kept.received_at));
    RETURN 'assigned';
END
$$;

-- Let a kept call be: its URL is deleted with it. Returns discarded, or not_found. A missing reason is 22023.
CREATE FUNCTION public.discard_unclaimed_call(id uuid, reason text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    kept  app.unclaimed_calls;
BEGIN
    DELETE FROM app.unclaimed_calls AS u WHERE u.id = discard_unclaimed_call.id RETURNING u.* INTO kept;
    IF NOT FOUND THEN
        RETURN 'not_found';
    END IF;
    PERFORM app.note_unclaimed('unclaimed_call_discarded', NULL, kept.id, discard_unclaimed_call.reason,
        jsonb_build_object('provider', kept.provider, 'provider_call_id', kept.provider_call_id,
            'provider_agent_id', kept.provider_agent_id, 'why', kept.why, 'received_at', kept.received_at));
    RETURN 'discarded';
END
$$;

REVOKE ALL ON FUNCTION app.whose_call, app.note_unclaimed, public.receive_call, public.assign_unclaimed_call,
    public.discard_unclaimed_call FROM PUBLIC;
REVOKE ALL ON FUNCTION public.receive_call, public.assign_unclaimed_call, public.discard_unclaimed_call
    FROM anon, authenticated;
GRANT EXECUTE ON FUNCTION public.receive_call TO call_handler;
GRANT EXECUTE ON FUNCTION public.assign_unclaimed_call, public.discard_unclaimed_call TO recording_ops;

RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM recording_call_receiver;
SET LOCAL ROLE recordings_owner;
REVOKE CREATE ON SCHEMA app FROM recording_call_receiver;
RESET ROLE;
