-- Tables, as recordings_owner. Who may see which row of them is in 0004_access.sql; nobody may until then.
--
-- Every table that hangs on a call does so by (org_id, call_id): the key itself makes a row of another organisation's
-- call impossible. A plain foreign key would not, since PostgreSQL checks foreign keys past row-level security.

CREATE TABLE public.organizations (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name        text NOT NULL CHECK (btrim(name) <> ''),
    status      text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended')),
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE public.agents (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    org_id             uuid NOT NULL REFERENCES public.organizations (id),
    name               text NOT NULL,
    role               text,
    provider           text,
    provider_agent_id  text,
    system_prompt      text,
    first_message      text,
    voice              text,
    language           text,
    is_active          boolean NOT NULL DEFAULT true,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    UNIQUE (org_id, id),
    -- With org_id in front: a global key would tell one organisation, by its refusal, what another one has.
    UNIQUE (org_id, provider, provider_agent_id)
);

CREATE TABLE public.leads (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    org_id      uuid NOT NULL REFERENCES public.organizations (id),
    name        text,
    email       text,
    phone       text,
    company     text,
    status      text NOT NULL DEFAULT 'new',
    source      text,
    metadata    jsonb NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (org_id, id)
);

CREATE TABLE public.knowledge_base (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    org_id      uuid NOT NULL REFERENCES public.organizations (id),
    filename    text NOT NULL,
    content     text NOT NULL,
    category    text NOT NULL DEFAULT 'general',
    version     integer NOT NULL DEFAULT 1,
    is_active   boolean NOT NULL DEFAULT true,
    metadata    jsonb NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX knowledge_base_org_id ON public.knowledge_base (org_id);

CREATE TABLE public.inbound_agent_config (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    org_id        uuid NOT NULL UNIQUE REFERENCES public.organizations (id),
    agent_id      uuid,
    phone_number  text,
    greeting      text,
    settings      jsonb NOT NULL DEFAULT '{}',
    is_active     boolean NOT NULL DEFAULT true,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (org_id, agent_id) REFERENCES public.agents (org_id, id) ON DELETE SET NULL (agent_id)
);

-- Credentials for the provider's side, sealed (AES-GCM, bound to organisation and provider) before they get here.
CREATE TABLE public.integrations (
    id                  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    org_id              uuid NOT NULL REFERENCES public.organizations (id),
    provider            text NOT NULL,
    sealed_credentials  bytea,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    UNIQUE (org_id, provider)
);

CREATE TABLE public.call_logs (
    id                     uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    org_id                 uuid NOT NULL REFERENCES public.organizations (id),
    provider               text NOT NULL,
    provider_call_id       text NOT NULL,
    agent_id               uuid,
    lead_id                uuid,
    direction              text CHECK (direction IN ('inbound', 'outbound')),
    from_number            text,
    to_number              text,
    started_at             timestamptz,
    ended_at               timestamptz,
    duration_s             integer CHECK (duration_s >= 0),
    transcript             text,
    -- The recording, as it stands in the organisation's storage. Null: the call has none that we know of.
    recording_status       text CHECK (recording_status IN ('pending', 'processing', 'completed', 'failed')),
    recording_key          text,
    recording_format       text,
    recording_size_bytes   bigint,
    recording_sha256       text CHECK (recording_sha256 ~ '^[0-9a-f]{64}$'),
    recording_uploaded_at  timestamptz,
    legal_hold             boolean NOT NULL DEFAULT false,
    created_at             timestamptz NOT NULL DEFAULT now(),
    UNIQUE (org_id, id),
    UNIQUE (org_id, provider, provider_call_id),
    FOREIGN KEY (org_id, agent_id) REFERENCES public.agents (org_id, id) ON DELETE SET NULL (agent_id),
    FOREIGN KEY (org_id, lead_id) REFERENCES public.leads (org_id, id) ON DELETE SET NULL (lead_id),
    CHECK (recording_status IS DISTINCT FROM 'completed' OR (recording_key IS NOT NULL AND recording_sha256 IS NOT NULL))
);
CREATE INDEX call_logs_org_id_started_at ON public.call_logs (org_id, started_at DESC);
CREATE INDEX call_logs_agent_id ON public.call_logs (org_id, agent_id) WHERE agent_id IS NOT NULL;
CREATE INDEX call_logs_lead_id ON public.call_logs (org_id, lead_id) WHERE lead_id IS NOT NULL;

-- The queue. The row is the truth; a message in Redis is a doorbell (law 1).
CREATE TABLE public.recording_upload_queue (
    id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    org_id            uuid NOT NULL REFERENCES public.organizations (id),
    call_id           uuid NOT NULL,
    provider          text NOT NULL CHECK (provider ~ '^[a-z][a-z0-9_-]{0,31}$'),
    recording_id      text NOT NULL CHECK (recording_id <> ''),
    source_url        text NOT NULL CHECK (source_url ~ '^https?://' AND length(source_url) <= 4096),
    priority          smallint NOT NULL DEFAULT 5 CHECK (priority BETWEEN 0 AND 9),
    status            text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'processing', 'completed', 'failed')),
    -- Claims so far. It is also the fence: it only rises, and every write after a claim names it (law 3).
    attempt           integer NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    -- What is used up of what may be: an interrupted attempt and a snooze cost nothing, a crash does (law 10).
    failures          integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
    max_failures      integer NOT NULL DEFAULT 10 CHECK (max_failures > 0),
    next_attempt_at   timestamptz NOT NULL DEFAULT now(),
    dispatched_until  timestamptz,
    lease_expires_at  timestamptz,
    worker            text,
    -- Of the claim that holds it: whoever did not hear the answer to a claim looks whether it was theirs.
    claim_id          uuid,
    object_key        text,
    size_bytes        bigint CHECK (size_bytes > 0),
    sha256            text CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    content_type      text,
    error_code        text,
    created_at        timestamptz NOT NULL DEFAULT now(),
    completed_at      timestamptz,
    UNIQUE (org_id, id),
    UNIQUE (org_id, provider, recording_id),
    FOREIGN KEY (org_id, call_id) REFERENCES public.call_logs (org_id, id),
    CHECK ((status = 'processing') = (lease_expires_at IS NOT NULL)),
    CHECK ((status = 'completed') = (completed_at IS NOT NULL)),
    CHECK (status <> 'completed' OR (object_key IS NOT NULL AND size_bytes IS NOT NULL AND sha256 IS NOT NULL)),
    CHECK (status <> 'failed' OR error_code IS NOT NULL)
)
-- Every upload is updated three times (dispatched, claimed, settled): leave room for it on the page, and clean early.
WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX recording_upload_queue_due
    ON public.recording_upload_queue (org_id, priority, next_attempt_at) WHERE status = 'pending';
CREATE INDEX recording_upload_queue_leased
    ON public.recording_upload_queue (org_id, lease_expires_at) WHERE status = 'processing';
CREATE INDEX recording_upload_queue_dispatched
    ON public.recording_upload_queue (org_id, dispatched_until) WHERE status = 'pending' AND dispatched_until IS NOT NULL;
CREATE INDEX recording_upload_queue_call ON public.recording_upload_queue (org_id, call_id);

CREATE TABLE public.failed_recording_uploads (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    org_id           uuid NOT NULL REFERENCES public.organizations (id),
    call_id          uuid NOT NULL,
    upload_id        uuid NOT NULL,
    error_code       text NOT NULL,
    error_message    text NOT NULL,
    failure_count    integer NOT NULL DEFAULT 1 CHECK (failure_count > 0),
    first_failed_at  timestamptz NOT NULL DEFAULT now(),
    last_failed_at   timestamptz NOT NULL DEFAULT now(),
    next_retry_at    timestamptz,
    given_up_at      timestamptz,
    resolved_at      timestamptz,
    resolution       text CHECK (resolution IN ('recovered', 'discarded')),
    FOREIGN KEY (org_id, call_id) REFERENCES public.call_logs (org_id, id),
    FOREIGN KEY (org_id, upload_id) REFERENCES public.recording_upload_queue (org_id, id),
    CHECK ((resolved_at IS NULL) = (resolution IS NULL)),
    CHECK (given_up_at IS NULL OR next_retry_at IS NULL)
);
-- With org_id in front, as agents above. The other index has it behind: operators know an upload by its id alone.
CREATE UNIQUE INDEX failed_recording_uploads_open
    ON public.failed_recording_uploads (org_id, upload_id) WHERE resolved_at IS NULL;
CREATE INDEX failed_recording_uploads_call ON public.failed_recording_uploads (org_id, call_id);
CREATE INDEX failed_recording_uploads_upload ON public.failed_recording_uploads (upload_id, org_id);
CREATE INDEX failed_recording_uploads_unresolved
    ON public.failed_recording_uploads (org_id, error_code, last_failed_at) WHERE resolved_at IS NULL;

-- One row an attempt, no more and no fewer.
CREATE TABLE public.recording_upload_metrics (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    org_id      uuid NOT NULL REFERENCES public.organizations (id),
    call_id     uuid NOT NULL,
    upload_id   uuid NOT NULL,
    attempt     integer NOT NULL CHECK (attempt > 0),
    outcome     text NOT NULL
                CHECK (outcome IN ('completed', 'rescheduled', 'snoozed', 'given_up', 'interrupted')),
    error_code  text,
    size_bytes  bigint,
    queue_ms    integer,
    fetch_ms    integer,
    store_ms    integer,
    total_ms    integer,
    worker      text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (org_id, upload_id, attempt),
    FOREIGN KEY (org_id, call_id) REFERENCES public.call_logs (org_id, id),
    FOREIGN KEY (org_id, upload_id) REFERENCES public.recording_upload_queue (org_id, id)
);
CREATE INDEX recording_upload_metrics_call ON public.recording_upload_metrics (org_id, call_id);
CREATE INDEX recording_upload_metrics_created_at ON public.recording_upload_metrics (org_id, created_at);

-- One row for each recording that leaves, written before the link exists (law 9).
CREATE TABLE public.recording_downloads (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    org_id        uuid NOT NULL REFERENCES public.organizations (id),
    call_id       uuid NOT NULL,
    requested_by  uuid NOT NULL,
    reason        text NOT NULL CHECK (btrim(reason) <> ''),
    kind          text NOT NULL DEFAULT 'link' CHECK (kind IN ('link', 'export')),
    export_id     uuid,
    status        text NOT NULL DEFAULT 'requested'
                  CHECK (status IN ('requested', 'ready', 'failed', 'revoked', 'expired')),
    url           text,
    expires_at    timestamptz,
    sha256        text CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    created_at    timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (org_id, call_id) REFERENCES public.call_logs (org_id, id),
    CHECK ((kind = 'export') = (export_id IS NOT NULL)),
    -- A link lives on the row only while it works.
    CHECK (url IS NULL OR (status = 'ready' AND expires_at IS NOT NULL))
);
CREATE INDEX recording_downloads_requested_by ON public.recording_downloads (org_id, requested_by, created_at DESC);
CREATE INDEX recording_downloads_call ON public.recording_downloads (call_id, org_id);

-- Who did what, and why. org_id is null only where no organisation could be trusted (a refused grant).
CREATE TABLE public.audit_log (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT now(),
    org_id      uuid REFERENCES public.organizations (id),
    actor       text NOT NULL,
    action      text NOT NULL,
    subject_id  uuid,
    reason      text,
    detail      jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_log_org_id_at ON public.audit_log (org_id, at DESC);

-- Keys of the task grants, as the two pads of HMAC-SHA256 (RFC 2104): with them the built-in sha256() verifies, and no
-- extension is needed. Only the verifier function reads it.
CREATE TABLE app.grant_keys (
    kid         text PRIMARY KEY CHECK (kid ~ '^[A-Za-z0-9_-]{1,64}$'),
    inner_pad   bytea NOT NULL CHECK (length(inner_pad) = 64),
    outer_pad   bytea NOT NULL CHECK (length(outer_pad) = 64),
    created_at  timestamptz NOT NULL DEFAULT now(),
    -- Set when a newer key takes over: grants signed with this one work until then.
    expires_at  timestamptz
);

-- A row never changes its organisation. IS DISTINCT FROM: not by way of NULL either.
CREATE FUNCTION app.refuse_org_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'org_id of a row in % cannot be changed', TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege', HINT = 'insert a new row for the other organisation instead';
END
$$;

CREATE FUNCTION app.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE FUNCTION app.touch_updated_at() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.updated_at := pg_catalog.now();
    RETURN NEW;
END
$$;

REVOKE ALL ON FUNCTION app.refuse_org_change(), app.refuse_change(), app.touch_updated_at() FROM PUBLIC;

DO $$
DECLARE
    tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY[
        'agents', 'leads', 'knowledge_base', 'inbound_agent_config', 'integrations', 'call_logs',
        'recording_upload_queue', 'failed_recording_uploads', 'recording_upload_metrics', 'recording_downloads']
    LOOP
        EXECUTE format(
            'CREATE TRIGGER refuse_org_change BEFORE UPDATE ON public.%I FOR EACH ROW '
            'WHEN (OLD.org_id IS DISTINCT FROM NEW.org_id) EXECUTE FUNCTION app.refuse_org_change()', tenant_table);
    END LOOP;
    FOREACH tenant_table IN ARRAY ARRAY['agents', 'leads', 'knowledge_base', 'inbound_agent_config', 'integrations']
    LOOP
        EXECUTE format(
            'CREATE TRIGGER touch_updated_at BEFORE UPDATE ON public.%I FOR EACH ROW '
            'EXECUTE FUNCTION app.touch_updated_at()', tenant_table);
    END LOOP;
END
$$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON public.audit_log
    FOR EACH ROW EXECUTE FUNCTION app.refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON public.audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION app.refuse_change();
