-- A stand-in for what a Supabase project has before us: its roles, its auth schema, its generous default privileges, and
-- an administrator who is not superuser. Run as superuser in an empty cluster.
CREATE ROLE anon NOLOGIN NOINHERIT;
CREATE ROLE authenticated NOLOGIN NOINHERIT;
CREATE ROLE service_role NOLOGIN NOINHERIT BYPASSRLS;
CREATE ROLE authenticator LOGIN NOINHERIT PASSWORD 'supabase-authenticator';
GRANT anon, authenticated, service_role TO authenticator;
CREATE ROLE supabase_postgres LOGIN CREATEROLE CREATEDB BYPASSRLS REPLICATION PASSWORD 'supabase-postgres';
GRANT anon, authenticated, service_role TO supabase_postgres WITH ADMIN OPTION;
GRANT authenticator TO supabase_postgres WITH ADMIN OPTION;
CREATE DATABASE supabase OWNER supabase_postgres;
