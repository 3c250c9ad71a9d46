//! How a module's database is opened on PostgreSQL: the schema `<module>`, used as the role `souk_<module>`, which
//! owns it and may use nothing else.
//!
//! One address for all modules names one login, so every connection of a module takes its role at start (the startup
//! option `role`); where each process logs in as its module's role, that option says what is so already. The usual
//! case, role and schema being there, costs one query on the pool's first connection; only when something is missing
//! does a second connection, with the rights of the login, create it. Rejected: `SET ROLE` after connecting, which is
//! a round trip for each connection, and always preparing first, which is a connection for each module.
//!
//! Processes may open a new database at once, and roles belong to the whole server, where other databases' shops use
//! them too. So nothing is locked: the state is read, one missing step is taken, and who was overtaken reads again.

use std::str::FromStr;

use sea_orm::sqlx::ConnectOptions;
use sea_orm::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, RuntimeErr, Statement};

use crate::connection::{Connection, Way};
use crate::db::DbOptions;
use crate::postgres_pool::PostgresPool;
use crate::problem::chain;
use crate::system::System;

/// A step fails when another process takes it at the same moment; each failure means that the other got on.
const ATTEMPTS: usize = 50;

/// Extensions that make queries of a module faster, which works without them: not every login may install them, and not every server
/// has them. Who may create a schema may install these ("trusted"). Where one is missing, each start opens a second connection to try.
const EXTENSIONS: &[(&str, &str)] = &[("catalog", "pg_trgm")];

/// What can have an owner of its own in a schema. Indexes, and sequences of columns, go with their table.
const OWNED: &str = "c.relkind IN ('r', 'p', 'v', 'm', 'S') AND NOT (c.relkind = 'S' AND EXISTS ( \
     SELECT FROM pg_depend d \
     WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')))";

/// The role of a module.
fn role_of(module: &str) -> String {
    format!("souk_{module}")
}

fn extension_of(module: &str) -> Option<&'static str> {
    EXTENSIONS.iter().find(|(of, _)| *of == module).map(|(_, extension)| *extension)
}

/// Both ways to a module's schema: its pool, and sea-orm's, which opens a connection when migrations want one.
type Ways = (PostgresPool, DatabaseConnection);

/// Opens the pool of a module, as its role if that can be.
pub(crate) async fn open(
    module: &'static str,
    url: &str,
    options: &DbOptions,
    system: &System,
) -> Result<Ways, DbErr> {
    let role = role_of(module);
    let as_role = ways(module, url, options, Some(&role), &[], system)?;
    let standing = Standing::read(&connection(&as_role), module).await;
    match standing {
        Ok(standing) if standing.missing().is_none() && !standing.lacks_extension => return Ok(as_role),
        Ok(_) => {}
        Err(error) if role_was_refused(&error) => {}
        Err(error) => return Err(error),
    }
    match prepare(module, url, options, system).await? {
        Prepared::ForRole => Ok(as_role),
        Prepared::ForLogin { cause, remedy } => {
            tracing::warn!(
                module,
                cause,
                remedy,
                "the login of the database's address is used as it is, not as the module's role: \
                 nothing but the program keeps this module out of the other schemas"
            );
            as_role.0.close().await;
            ways(module, url, options, None, &[], system)
        }
    }
}

/// Opens a pool whose every transaction is read-only, as the module's role if the login may work as it. It creates
/// nothing. Rejected: a role that may only read, which every installation would have to create.
pub(crate) async fn open_read_only(
    module: &'static str,
    url: &str,
    options: &DbOptions,
    system: &System,
) -> Result<Ways, DbErr> {
    let role = role_of(module);
    let as_role = ways(module, url, options, Some(&role), &[READ_ONLY], system)?;
    match connection(&as_role).execute_unprepared("SELECT 1").await {
        Ok(_) => Ok(as_role),
        Err(error) if role_was_refused(&error) => ways(module, url, options, None, &[READ_ONLY], system),
        Err(error) => Err(error),
    }
}

fn connection(ways: &Ways) -> Connection {
    Connection(Way::Postgres(ways.0.clone()))
}

/// The server ends a transaction in which nothing was asked for so long, in milliseconds. None of ours waits for anybody but the
/// server, so its process hangs, and others wait for the rows that it holds. Less than the gateway waits for a replica.
fn abandoned_after() -> (&'static str, String) {
    ("idle_in_transaction_session_timeout", "10000".to_owned())
}

/// How long a statement waits for a row that another transaction holds, in milliseconds: who hangs on to one must not hold up for longer
/// those who need others, too. Ours hold a row for a statement, or a few.
const LOCK_WAIT: (&str, &str) = ("lock_timeout", "3000");

const READ_ONLY: (&str, &str) = ("default_transaction_read_only", "on");

fn ways(
    module: &'static str,
    url: &str,
    options: &DbOptions,
    role: Option<&str>,
    more: &[(&'static str, &str)],
    system: &System,
) -> Result<Ways, DbErr> {
    // Options of the address come first, and stay: sqlx appends to them.
    let mut startup = vec![("search_path", module.to_owned()), abandoned_after()];
    startup.extend(role.map(|role| ("role", role.to_owned())));
    startup.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let to_server = address(module, url, options)?.options(startup);
    let orm = PgPoolOptions::new()
        .max_connections(1)
        .min_connections(0)
        .acquire_timeout(options.acquire_timeout)
        // Migrations are rare: nothing stays open for them.
        .after_release(|_, _| Box::pin(std::future::ready(Ok(false))))
        .connect_lazy_with(to_server.clone());
    let pool = PostgresPool::new(to_server.options([LOCK_WAIT]), options, system.clone())?;
    Ok((pool, orm.into()))
}

fn address(module: &'static str, url: &str, options: &DbOptions) -> Result<PgConnectOptions, DbErr> {
    let address =
        PgConnectOptions::from_str(url).map_err(|error| DbErr::Conn(RuntimeErr::SqlxError(error.into())))?;
    Ok(address
        .disable_statement_logging()
        .application_name(&format!("souk-{module}"))
        .options([("statement_timeout", options.statement_timeout.as_millis().to_string())]))
}

/// As whom the pool is to work.
enum Prepared {
    ForRole,
    /// The login may not do what is missing.
    ForLogin {
        cause: String,
        remedy: String,
    },
}

/// Creates what is missing, with the rights of the login.
async fn prepare(
    module: &'static str,
    url: &str,
    options: &DbOptions,
    system: &System,
) -> Result<Prepared, DbErr> {
    let once = address(module, url, options)?;
    let pool = PostgresPool::new(once, &DbOptions { max_connections: 1, ..options.clone() }, system.clone())?;
    let login = Connection(Way::Postgres(pool));
    let prepared = prepare_for_role(&login, module).await?;
    if matches!(prepared, Prepared::ForLogin { .. }) {
        prepare_for_login(&login, module).await?;
    }
    if let Some(extension) = extension_of(module) {
        add_extension(&login, module, extension).await?;
    }
    login.close().await?;
    Ok(prepared)
}

async fn prepare_for_role(login: &Connection, module: &'static str) -> Result<Prepared, DbErr> {
    for _ in 0..ATTEMPTS {
        let standing = Standing::read(login, module).await?;
        let Some(step) = standing.missing() else { return Ok(Prepared::ForRole) };
        match login.execute_unprepared(&step.sql(module)).await {
            Ok(_) => {}
            Err(error) if was_overtaken(&error) => {}
            Err(error) if step != Step::CreateSchema && is_refusal(&error) => {
                return Ok(Prepared::ForLogin {
                    cause: chain(&error),
                    remedy: step.remedy(module, &standing.login),
                });
            }
            Err(error) => return Err(error),
        }
    }
    Err(DbErr::Custom(format!("the role {} is changed again and again by someone else", role_of(module))))
}

/// `CREATE SCHEMA IF NOT EXISTS` asks for the right to create before it looks, and can fail when two processes run it
/// at once; so the catalogue is asked first.
async fn prepare_for_login(login: &Connection, module: &'static str) -> Result<(), DbErr> {
    for _ in 0..ATTEMPTS {
        if Standing::read(login, module).await?.schema_exists {
            return Ok(());
        }
        match login.execute_unprepared(&format!("CREATE SCHEMA IF NOT EXISTS {module}")).await {
            Err(error) if !was_overtaken(&error) => return Err(error),
            _ => {}
        }
    }
    Err(DbErr::Custom(format!("the schema {module} is changed again and again by someone else")))
}

/// Installs an extension where the module finds it, in its own schema, if the server lets us: not where it only reads, or does not have it.
async fn add_extension(login: &Connection, module: &'static str, extension: &str) -> Result<(), DbErr> {
    let sql = format!("CREATE EXTENSION IF NOT EXISTS {extension} SCHEMA {module}");
    let mut cause = String::new();
    for _ in 0..ATTEMPTS {
        if !Standing::read(login, module).await?.lacks_extension {
            return Ok(());
        }
        match login.execute_unprepared(&sql).await {
            Ok(_) => {}
            Err(error) if was_overtaken(&error) => cause = chain(&error),
            Err(error) if sqlstate(&error).is_some() => {
                cause = chain(&error);
                break;
            }
            Err(error) => return Err(error),
        }
    }
    tracing::warn!(
        module,
        cause,
        remedy = "let someone who may install extensions do what OPERATING.md says under `Search`",
        "the module works without the extension {extension}, and some of its queries are slower"
    );
    Ok(())
}

/// What there is of a module's role and schema, as the current user sees it.
struct Standing {
    /// As an identifier of SQL.
    login: String,
    role_exists: bool,
    /// Whether the current user may work as the role.
    role_is_open: bool,
    schema_exists: bool,
    /// The schema with all that is in it.
    schema_is_the_roles: bool,
    lacks_extension: bool,
}

impl Standing {
    async fn read(connection: &Connection, module: &str) -> Result<Self, DbErr> {
        let role = role_of(module);
        let lacks_extension = extension_of(module).map_or_else(
            || "FALSE".to_owned(),
            |extension| format!("NOT EXISTS (SELECT FROM pg_extension WHERE extname = '{extension}')"),
        );
        // Since PostgreSQL 16, membership alone does not mean that one may take the role.
        let sql = format!(
            "SELECT quote_ident(current_user) AS login, r.oid IS NOT NULL AS role_exists, \
             COALESCE(pg_has_role(r.oid, CASE WHEN current_setting('server_version_num')::int >= 160000 \
                 THEN 'SET' ELSE 'MEMBER' END), FALSE) AS role_is_open, \
             n.oid IS NOT NULL AS schema_exists, \
             COALESCE(n.nspowner = r.oid AND NOT EXISTS (SELECT FROM pg_class c \
                 WHERE c.relnamespace = n.oid AND c.relowner <> r.oid AND {OWNED}), FALSE) AS schema_is_the_roles, \
             {lacks_extension} AS lacks_extension \
             FROM (SELECT 1) AS one LEFT JOIN pg_roles r ON r.rolname = '{role}' \
             LEFT JOIN pg_namespace n ON n.nspname = '{module}'"
        );
        let row = connection.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
        let row = row.ok_or_else(|| DbErr::RecordNotFound(format!("the standing of {role}")))?;
        Ok(Self {
            login: row.try_get("", "login")?,
            role_exists: row.try_get("", "role_exists")?,
            role_is_open: row.try_get("", "role_is_open")?,
            schema_exists: row.try_get("", "schema_exists")?,
            schema_is_the_roles: row.try_get("", "schema_is_the_roles")?,
            lacks_extension: row.try_get("", "lacks_extension")?,
        })
    }

    /// The next step to a schema that its role owns; `None` if there is none to take.
    fn missing(&self) -> Option<Step> {
        match self {
            Self { role_exists: false, .. } => Some(Step::CreateRole),
            Self { role_is_open: false, .. } => Some(Step::JoinRole),
            Self { schema_exists: false, .. } => Some(Step::CreateSchema),
            Self { schema_is_the_roles: false, .. } => Some(Step::HandOver),
            _ => None,
        }
    }
}

/// What may be missing, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    CreateRole,
    JoinRole,
    CreateSchema,
    /// The schema is another role's: it was made for one address for all, or restored by someone else.
    HandOver,
}

impl Step {
    fn sql(self, module: &str) -> String {
        let role = role_of(module);
        match self {
            Self::CreateRole => format!("CREATE ROLE {role} NOLOGIN"),
            Self::JoinRole => format!("GRANT {role} TO CURRENT_USER"),
            Self::CreateSchema => format!("CREATE SCHEMA {module} AUTHORIZATION {role}"),
            // One statement, so that it happens as a whole. The schema comes first: who is to own a table must be
            // allowed to create one.
            Self::HandOver => format!(
                "DO $hand_over$ DECLARE relation regclass; BEGIN \
                 ALTER SCHEMA {module} OWNER TO {role}; \
                 FOR relation IN SELECT c.oid FROM pg_class c WHERE c.relnamespace = '{module}'::regnamespace \
                     AND c.relowner <> '{role}'::regrole AND {OWNED} \
                 LOOP EXECUTE format('ALTER TABLE %s OWNER TO {role}', relation); END LOOP; \
                 END $hand_over$"
            ),
        }
    }

    /// What someone with more rights can do about it.
    fn remedy(self, module: &str, login: &str) -> String {
        let role = role_of(module);
        match self {
            Self::CreateRole => {
                format!("let a superuser run: CREATE ROLE {role} NOLOGIN; GRANT {role} TO {login};")
            }
            Self::JoinRole => format!("let a superuser run: GRANT {role} TO {login};"),
            Self::CreateSchema | Self::HandOver => {
                format!(
                    "let a superuser give the schema {module} and its tables to {role}, as scripts/postgres/roles.sql does"
                )
            }
        }
    }
}

/// The SQLSTATE of an error of the server.
fn sqlstate(error: &DbErr) -> Option<String> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(cause))
        | DbErr::Exec(RuntimeErr::SqlxError(cause))
        | DbErr::Query(RuntimeErr::SqlxError(cause)) => Some(cause.as_database_error()?.code()?.into_owned()),
        _ => None,
    }
}

/// Insufficient privilege.
fn is_refusal(error: &DbErr) -> bool {
    sqlstate(error).as_deref() == Some("42501")
}

/// There is no such role, or the login may not work as it. Other refusals to connect look the same; they come again
/// when the login connects without a role.
fn role_was_refused(error: &DbErr) -> bool {
    matches!(error, DbErr::Conn(_)) && matches!(sqlstate(error).as_deref(), Some("22023" | "42501"))
}

/// Another process took the same step at the same moment: the role or schema exists by now (as seen before or after
/// the other's commit), "tuple concurrently updated" (an internal error without a code of its own), or a deadlock.
fn was_overtaken(error: &DbErr) -> bool {
    matches!(sqlstate(error).as_deref(), Some("42710" | "42P06" | "23505" | "XX000" | "40P01"))
}
