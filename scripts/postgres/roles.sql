-- A login role and a schema per module, for a shop whose processes log in one by one.
--
-- Run it with psql, connected to the database of the shop, as a superuser or as a role that may create roles and owns
-- that database:
--
--     psql -X -v password=... -f scripts/postgres/roles.sql postgres://postgres@127.0.0.1:5432/souk
--
-- Variables (psql -v name=value):
--     password            of every role; if it is not given, the environment's SOUK_POSTGRES_PASSWORD
--     <module>_password   of one role, as auth_password; if it is not given, password
--
-- What is given with -v can be seen in the list of processes, what is in the environment cannot. The image `postgres`
-- runs the file as it is from /docker-entrypoint-initdb.d, with the password in the container's environment.
--
-- Afterwards the process of a module connects with postgres://souk_<module>:<password>@<server>/<database>. Its role owns
-- the schema of that name, may log in to this database and create temporary tables there, and nothing else. Nobody who is
-- not named here can connect, except superusers and the database's owner.
--
-- It may run again at any time, also while the shop runs: it sets the passwords anew and hands each schema that
-- another role owns (from the time of one URL for all) over to its module. Roles belong to the server, not to a database:
-- two shops on one server share their roles, and so their passwords.

\set QUIET on
\set ON_ERROR_STOP on
\if :{?password}
\else
    \getenv password SOUK_POSTGRES_PASSWORD
\endif
\if :{?password}
\else
    \set password ''
\endif
\if :{?auth_password}
\else
    \set auth_password :password
\endif
\if :{?cart_password}
\else
    \set cart_password :password
\endif
\if :{?catalog_password}
\else
    \set catalog_password :password
\endif
\if :{?inventory_password}
\else
    \set inventory_password :password
\endif
\if :{?notifications_password}
\else
    \set notifications_password :password
\endif
\if :{?orders_password}
\else
    \set orders_password :password
\endif
\if :{?payments_password}
\else
    \set payments_password :password
\endif
\if :{?users_password}
\else
    \set users_password :password
\endif

-- Passwords do not belong in the server's log. Only a superuser can say so.
SELECT name, set_config(name, value, false)
FROM (VALUES ('log_statement', 'none'), ('log_min_duration_statement', '-1'), ('log_min_error_statement', 'panic'))
    AS quiet (name, value)
WHERE (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
\g /dev/null

SET client_min_messages = warning;

-- What follows happens as a whole or not at all, and one run after another.
BEGIN;
SELECT pg_advisory_xact_lock(hashtext('souk roles')) \g /dev/null

-- A DO block does not see the variables of psql, but it sees the settings of the session.
SELECT set_config('souk.password_auth', :'auth_password', true),
       set_config('souk.password_cart', :'cart_password', true),
       set_config('souk.password_catalog', :'catalog_password', true),
       set_config('souk.password_inventory', :'inventory_password', true),
       set_config('souk.password_notifications', :'notifications_password', true),
       set_config('souk.password_orders', :'orders_password', true),
       set_config('souk.password_payments', :'payments_password', true),
       set_config('souk.password_users', :'users_password', true)
\g /dev/null

DO $roles$
DECLARE
    modules constant text[] := ARRAY['auth', 'cart', 'catalog', 'inventory', 'notifications', 'orders', 'payments', 'users'];
    module text;
    role_name text;
    password text;
    relation regclass;
    attempts integer;
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    REVOKE CREATE ON SCHEMA public FROM PUBLIC;

    FOREACH module IN ARRAY modules LOOP
        role_name := 'souk_' || module;
        password := current_setting('souk.password_' || module);
        IF password = '' THEN
            RAISE EXCEPTION 'no password for %: run psql with -v password=..., or set SOUK_POSTGRES_PASSWORD', role_name;
        END IF;

        -- A run on another database of this server may be at the same roles: then one of the two is told to try again.
        attempts := 0;
        LOOP
            BEGIN
                IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
                    EXECUTE format('CREATE ROLE %I', role_name);
                END IF;
                EXECUTE format('ALTER ROLE %I LOGIN PASSWORD %L', role_name, password);
                EXIT;
            EXCEPTION WHEN duplicate_object OR unique_violation OR internal_error THEN
                attempts := attempts + 1;
                IF attempts >= 20 THEN
                    RAISE;
                END IF;
            END;
        END LOOP;

        -- Who is no superuser must be a member of a role to give it a schema.
        IF NOT pg_has_role(current_user, role_name, 'USAGE') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', role_name);
        END IF;

        EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO %I', current_database(), role_name);
        EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I AUTHORIZATION %I', module, role_name);
        IF (SELECT nspowner FROM pg_namespace WHERE nspname = module) <> role_name::regrole THEN
            EXECUTE format('ALTER SCHEMA %I OWNER TO %I', module, role_name);
        END IF;
        EXECUTE format('REVOKE ALL ON SCHEMA %I FROM PUBLIC', module);
        -- A sequence that belongs to a column goes with its table.
        FOR relation IN
            SELECT c.oid FROM pg_class c
            WHERE c.relnamespace = module::regnamespace
              AND c.relowner <> role_name::regrole
              AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
              AND NOT EXISTS (
                  SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND c.relkind = 'S' AND d.deptype IN ('a', 'i'))
        LOOP
            EXECUTE format('ALTER TABLE %s OWNER TO %I', relation, role_name);
        END LOOP;
    END LOOP;

    -- What finds rare words among many products (docs/OPERATING.md, Search). The shop works without it.
    BEGIN
        CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA catalog;
    EXCEPTION WHEN OTHERS THEN
        RAISE WARNING 'the extension pg_trgm cannot be installed, so searches for rare words read every product: %', SQLERRM;
    END;
END
$roles$;
COMMIT;
