-- Who may see and do what, as recordings_owner. Read it as a table: role by role, grants first, then policies.
--
-- Row-level security is on and forced everywhere: it binds the owner too. Every policy names its role. Columns that a
-- role does not need are not granted to it, so that even a query over permitted rows cannot read them.

DO $$
DECLARE
    our_table text;
BEGIN
    FOREACH our_table IN ARRAY ARRAY[
        'organizations', 'agents', 'leads', 'knowledge_base', 'inbound_agent_config', 'integrations', 'call_logs',
        'recording_upload_queue', 'failed_recording_uploads', 'recording_upload_metrics', 'recording_downloads',
        'audit_log']
    LOOP
        EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', our_table);
        EXECUTE format('ALTER TABLE public.%I FORCE ROW LEVEL SECURITY', our_table);
        -- Supabase gives its API roles everything on new tables by default.
        EXECUTE format('REVOKE ALL ON public.%I FROM PUBLIC, anon, authenticated', our_table);
    END LOOP;
END
$$;

-- Users -------------------------------------------------------------------------------------------------------------

GRANT SELECT ON public.organizations, public.call_logs, public.failed_recording_uploads,
    public.recording_upload_metrics, public.recording_downloads TO authenticated;
GRANT SELECT (id, org_id, call_id, provider, recording_id, priority, status, attempt, failures, max_failures,
    next_attempt_at, size_bytes, sha256, content_type, error_code, created_at, completed_at)
    ON public.recording_upload_queue TO authenticated;
GRANT SELECT (id, org_id, provider, created_at, updated_at) ON public.integrations TO authenticated;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.agents, public.leads, public.knowledge_base,
    public.inbound_agent_config TO authenticated;

CREATE POLICY own_organization ON public.organizations FOR SELECT TO authenticated
    USING (id = (SELECT public.auth_org_id()));
CREATE POLICY own_organization ON public.agents TO authenticated
    USING (org_id = (SELECT public.auth_org_id())) WITH CHECK (org_id = (SELECT public.auth_org_id()));
CREATE POLICY own_organization ON public.leads TO authenticated
    USING (org_id = (SELECT public.auth_org_id())) WITH CHECK (org_id = (SELECT public.auth_org_id()));
CREATE POLICY own_organization ON public.knowledge_base TO authenticated
    USING (org_id = (SELECT public.auth_org_id())) WITH CHECK (org_id = (SELECT public.auth_org_id()));
CREATE POLICY own_organization ON public.inbound_agent_config TO authenticated
    USING (org_id = (SELECT public.auth_org_id())) WITH CHECK (org_id = (SELECT public.auth_org_id()));
CREATE POLICY own_organization ON public.integrations FOR SELECT TO authenticated
    USING (org_id = (SELECT public.auth_org_id()));
CREATE POLICY own_organization ON public.call_logs FOR SELECT TO authenticated
    USING (org_id = (SELECT public.auth_org_id()));
CREATE POLICY own_organization ON public.recording_upload_queue FOR SELECT TO authenticated
    USING (org_id = (SELECT public.auth_org_id()));
CREATE POLICY own_organization ON public.failed_recording_uploads FOR SELECT TO authenticated
    USING (org_id = (SELECT public.auth_org_id()));
CREATE POLICY own_organization ON public.recording_upload_metrics FOR SELECT TO authenticated
    USING (org_id = (SELECT public.auth_org_id()));
-- A link is for the one who asked for it.
CREATE POLICY own_request ON public.recording_downloads FOR SELECT TO authenticated
    USING (org_id = (SELECT public.auth_org_id()) AND requested_by = (SELECT public.auth_user_id()));

-- Workers -----------------------------------------------------------------------------------------------------------
-- As (SELECT …) the grant is verified once a statement, when the index is entered; without a valid one that is an error.

GRANT SELECT ON public.recording_upload_queue, public.failed_recording_uploads,
    public.recording_upload_metrics TO recording_worker;
GRANT UPDATE (status, attempt, failures, next_attempt_at, dispatched_until, lease_expires_at, worker, claim_id,
    object_key, size_bytes, sha256, content_type, error_code, completed_at) ON public.recording_upload_queue TO recording_worker;
GRANT SELECT (id, org_id, provider, provider_call_id, recording_status, recording_key, recording_format,
    recording_size_bytes, recording_sha256, recording_uploaded_at, legal_hold),
    UPDATE (recording_status, recording_key, recording_format, recording_size_bytes, recording_sha256,
    recording_uploaded_at) ON public.call_logs TO recording_worker;
GRANT SELECT (id, org_id, provider, sealed_credentials) ON public.integrations TO recording_worker;
GRANT INSERT, UPDATE (error_code, error_message, failure_count, last_failed_at, next_retry_at, given_up_at,
    resolved_at, resolution) ON public.failed_recording_uploads TO recording_worker;
GRANT INSERT ON public.recording_upload_metrics TO recording_worker;

CREATE POLICY granted_organization ON public.recording_upload_queue TO recording_worker
    USING (org_id = (SELECT app.task_org_id()))
    WITH CHECK (org_id = (SELECT app.task_org_id()));
CREATE POLICY granted_organization ON public.call_logs TO recording_worker
    USING (org_id = (SELECT app.task_org_id()))
    WITH CHECK (org_id = (SELECT app.task_org_id()));
CREATE POLICY granted_organization ON public.integrations FOR SELECT TO recording_worker
    USING (org_id = (SELECT app.task_org_id()));
CREATE POLICY granted_organization ON public.failed_recording_uploads TO recording_worker
    USING (org_id = (SELECT app.task_org_id()))
    WITH CHECK (org_id = (SELECT app.task_org_id()));
CREATE POLICY granted_organization ON public.recording_upload_metrics TO recording_worker
    USING (org_id = (SELECT app.task_org_id()))
    WITH CHECK (org_id = (SELECT app.task_org_id()));

-- Dispatcher: of every organisation, but only when a row is due and for whom. No URL, no call. ------------------------

GRANT SELECT (id, status) ON public.organizations TO recording_dispatcher;
GRANT SELECT (id, org_id, status, priority, attempt, next_attempt_at, dispatched_until, lease_expires_at, created_at),
    UPDATE (dispatched_until) ON public.recording_upload_queue TO recording_dispatcher;

CREATE POLICY active ON public.organizations FOR SELECT TO recording_dispatcher USING (status = 'active');
CREATE POLICY unsettled ON public.recording_upload_queue FOR SELECT TO recording_dispatcher
    USING (status IN ('pending', 'processing'));
CREATE POLICY unsettled_mark ON public.recording_upload_queue FOR UPDATE TO recording_dispatcher
    USING (status IN ('pending', 'processing')) WITH CHECK (status IN ('pending', 'processing'));

-- Operators: failures and progress of every organisation. No URL, no call content. ------------------------------------

GRANT SELECT ON public.organizations, public.failed_recording_uploads, public.recording_upload_metrics,
    public.audit_log TO recording_ops;
GRANT SELECT (id, org_id, call_id, provider, priority, status, attempt, failures, max_failures, next_attempt_at,
    dispatched_until, lease_expires_at, worker, size_bytes, sha256, error_code, created_at, completed_at)
    ON public.recording_upload_queue TO recording_ops;

CREATE POLICY operators_read ON public.organizations FOR SELECT TO recording_ops USING (true);
CREATE POLICY operators_read ON public.recording_upload_queue FOR SELECT TO recording_ops USING (true);
CREATE POLICY operators_read ON public.failed_recording_uploads FOR SELECT TO recording_ops USING (true);
CREATE POLICY operators_read ON public.recording_upload_metrics FOR SELECT TO recording_ops USING (true);
CREATE POLICY operators_read ON public.audit_log FOR SELECT TO recording_ops USING (true);

-- enqueue_recording(): inserts, and finds the row that is there already. It cannot read a recording out. --------------

GRANT SELECT (id, org_id, provider, provider_call_id, agent_id, direction, from_number, to_number, started_at,
    ended_at, duration_s, recording_status),
    INSERT (org_id, provider, provider_call_id, agent_id, direction, from_number, to_number, started_at, ended_at,
    duration_s, recording_status),
    UPDATE (agent_id, direction, from_number, to_number, started_at, ended_at, duration_s, recording_status)
    ON public.call_logs TO recording_enqueuer;
GRANT SELECT (id, org_id, call_id, provider, recording_id, status),
    INSERT (org_id, call_id, provider, recording_id, source_url, priority),
    UPDATE (source_url) ON public.recording_upload_queue TO recording_enqueuer;

GRANT SELECT (id) ON public.organizations TO recording_enqueuer;

CREATE POLICY enqueued_organization ON public.organizations FOR SELECT TO recording_enqueuer
    USING (id = (SELECT app.enqueue_org_id()));
CREATE POLICY enqueued_organization ON public.call_logs TO recording_enqueuer
    USING (org_id = (SELECT app.enqueue_org_id())) WITH CHECK (org_id = (SELECT app.enqueue_org_id()));
CREATE POLICY enqueued_organization ON public.recording_upload_queue TO recording_enqueuer
    USING (org_id = (SELECT app.enqueue_org_id())) WITH CHECK (org_id = (SELECT app.enqueue_org_id()));
