-- The whole producer interface, for any language: one call, in the caller's own transaction.
--
-- It belongs to recording_enqueuer, whose policies admit the one organisation that the call names. Enqueueing a known
-- recording again is enqueueing it once: the URL is refreshed while the row is not completed, nothing else changes.

GRANT CREATE ON SCHEMA public TO recording_enqueuer;
SET LOCAL ROLE recording_enqueuer;

CREATE FUNCTION public.enqueue_recording(
    org_id            uuid,
    provider          text,
    provider_call_id  text,
    source_url        text,
    recording_id      text        DEFAULT NULL,  -- the provider's id of the recording; a call with one recording: its id
    priority          integer     DEFAULT 5,     -- 0 high … 9 low
    direction         text        DEFAULT NULL,
    from_number       text        DEFAULT NULL,
    to_number         text        DEFAULT NULL,
    started_at        timestamptz DEFAULT NULL,
    ended_at          timestamptz DEFAULT NULL,
    duration_s        integer     DEFAULT NULL,
    agent_id          uuid        DEFAULT NULL
) RETURNS TABLE (call_id uuid, upload_id uuid, created boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    recording    constant text := coalesce(nullif(enqueue_recording.recording_id, ''), enqueue_recording.provider_call_id);
    problem      text;
    made_call_id uuid;
BEGIN
    problem := CASE
        WHEN enqueue_recording.org_id IS NULL THEN 'org_id is missing'
        WHEN enqueue_recording.provider IS NULL OR enqueue_recording.provider !~ '^[a-z][a-z0-9_-]{0,31}$'
            THEN 'provider must be a short lower-case name, such as twilio, vapi or https'
        WHEN coalesce(enqueue_recording.provider_call_id, '') = '' THEN 'provider_call_id is missing'
        WHEN length(enqueue_recording.provider_call_id) > 255 OR length(recording) > 255
            THEN 'provider_call_id and recording_id have at most 255 characters'
        WHEN coalesce(enqueue_recording.source_url, '') !~ '^https?://[^/]' THEN 'source_url must start with https://'
        WHEN length(enqueue_recording.source_url) > 4096 THEN 'source_url has at most 4096 characters'
        WHEN coalesce(enqueue_recording.priority, 5) NOT BETWEEN 0 AND 9 THEN 'priority must be 0 (high) to 9 (low)'
        WHEN enqueue_recording.duration_s < 0 THEN 'duration_s must not be negative'
        WHEN enqueue_recording.direction NOT IN ('inbound', 'outbound') THEN 'direction must be inbound or outbound'
    END;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION 'enqueue_recording: %', problem USING ERRCODE = 'invalid_parameter_value';
    END IF;

    PERFORM set_config('app.enqueue_org_id', enqueue_recording.org_id::text, true);
    -- The foreign key would refuse too, but in words that help nobody.
    IF NOT EXISTS (SELECT FROM public.organizations AS o WHERE o.id = enqueue_recording.org_id) THEN
        RAISE EXCEPTION 'enqueue_recording: no organisation has the id %', enqueue_recording.org_id
            USING ERRCODE = 'foreign_key_violation', HINT = 'organisations are made with: recordings orgs create NAME';
    END IF;

    -- The queue's row first, as a worker locks it when it settles: else a redelivery meets it in a deadlock.
    UPDATE public.recording_upload_queue AS q SET source_url = enqueue_recording.source_url
    WHERE q.org_id = enqueue_recording.org_id AND q.provider = enqueue_recording.provider
      AND q.recording_id = recording AND q.status <> 'completed';
    SELECT q.id INTO upload_id FROM public.recording_upload_queue AS q
    WHERE q.org_id = enqueue_recording.org_id AND q.provider = enqueue_recording.provider
      AND q.recording_id = recording;

    INSERT INTO public.call_logs AS c (org_id, provider, provider_call_id, agent_id, direction, from_number, to_number,
        started_at, ended_at, duration_s, recording_status)
    VALUES (enqueue_recording.org_id, enqueue_recording.provider, enqueue_recording.provider_call_id,
        enqueue_recording.agent_id, enqueue_recording.direction, enqueue_recording.from_number,
        enqueue_recording.to_number, enqueue_recording.started_at, enqueue_recording.ended_at,
        -- A known recording may belong to another call: then this one waits for none.
        enqueue_recording.duration_s, CASE WHEN upload_id IS NULL THEN 'pending' END)
    -- What a later delivery knows better replaces what was known; what it does not say stays, the recording above all.
    ON CONFLICT (org_id, provider, provider_call_id) DO UPDATE SET
        agent_id = coalesce(excluded.agent_id, c.agent_id),
        direction = coalesce(excluded.direction, c.direction),
        from_number = coalesce(excluded.from_number, c.from_number),
        to_number = coalesce(excluded.to_number, c.to_number),
        started_at = coalesce(excluded.started_at, c.started_at),
        ended_at = coalesce(excluded.ended_at, c.ended_at),
        duration_s = coalesce(excluded.duration_s, c.duration_s),
        recording_status = coalesce(c.recording_status, excluded.recording_status)
    RETURNING c.id INTO made_call_id;

    -- Once more, now that the call is held: another delivery may have made the row since. It is read and not locked (an
    -- INSERT that meets it would wait for whoever holds it), for with the call in hand that is the wrong order again.
    SELECT q.id, q.call_id INTO upload_id, call_id FROM public.recording_upload_queue AS q
    WHERE q.org_id = enqueue_recording.org_id AND q.provider = enqueue_recording.provider
      AND q.recording_id = recording;
    created := upload_id IS NULL;
    IF created THEN
        INSERT INTO public.recording_upload_queue AS q (org_id, call_id, provider, recording_id, source_url, priority)
        VALUES (enqueue_recording.org_id, made_call_id, enqueue_recording.provider, recording,
            enqueue_recording.source_url, coalesce(enqueue_recording.priority, 5))
        -- Under another call, at this very moment.
        ON CONFLICT (org_id, provider, recording_id) DO NOTHING
        RETURNING q.id, q.call_id INTO upload_id, call_id;
        created := upload_id IS NOT NULL;
    END IF;
    IF created THEN
        -- No payload: PostgreSQL folds equal notifications of a transaction into one, so a bulk enqueue rings once.
        PERFORM pg_notify('recording_upload_queue', '');
    ELSIF upload_id IS NULL THEN
        SELECT q.id, q.call_id INTO upload_id, call_id FROM public.recording_upload_queue AS q
        WHERE q.org_id = enqueue_recording.org_id AND q.provider = enqueue_recording.provider
          AND q.recording_id = recording;
    END IF;
    RETURN NEXT;
END
$$;

REVOKE ALL ON FUNCTION public.enqueue_recording FROM PUBLIC, anon, authenticated;
GRANT EXECUTE ON FUNCTION public.enqueue_recording TO call_handler;

RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM recording_enqueuer;
