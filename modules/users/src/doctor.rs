//! What must be true of users, checked on the live database.

use std::sync::Arc;

use async_trait::async_trait;
use platform::db::Db;
use platform::doctor::{Examiner, OpenWork, open_plumbing};
use platform::module::{AnyError, Check, MAX_VIOLATIONS};
use sea_orm::{DbErr, FromQueryResult, Statement};
use uuid::Uuid;

#[derive(FromQueryResult)]
struct Violation {
    id: Uuid,
}

const NOT_LOWER_CASE: &str =
    "SELECT id FROM users WHERE email <> lower(email) OR username <> lower(username) ORDER BY id LIMIT ";

/// Admins who are all switched off: nobody can run the shop.
const NO_ACTIVE_ADMIN: &str = "
    SELECT id FROM users WHERE role = 'admin'
    AND NOT EXISTS (SELECT 1 FROM users other WHERE other.role = 'admin' AND other.active) ORDER BY id LIMIT ";

/// Looks at the data of this module for the doctor.
pub fn examiner(db: Db) -> Arc<dyn Examiner> {
    Arc::new(Books { db })
}

struct Books {
    db: Db,
}

#[async_trait]
impl Examiner for Books {
    fn db(&self) -> &Db {
        &self.db
    }

    async fn checks(&self) -> Result<Vec<Check>, AnyError> {
        Ok(checks(&self.db).await?)
    }

    async fn open_work(&self) -> Result<Vec<OpenWork>, AnyError> {
        Ok(open_plumbing(&self.db).await?)
    }
}

pub(crate) async fn checks(db: &Db) -> Result<Vec<Check>, DbErr> {
    let mut checks = vec![
        Check::new(
            "users.names_are_unique",
            "no two users differ only in the case of their email or username",
            violations(db, NOT_LOWER_CASE, "is not in lower case").await?,
        ),
        Check::new(
            "users.an_admin_is_active",
            "a shop that has admins has an active one",
            violations(db, NO_ACTIVE_ADMIN, "is switched off, like every other admin").await?,
        ),
    ];
    checks.extend(platform::doctor::plumbing(db).await?);
    Ok(checks)
}

async fn violations(db: &Db, sql: &str, what: &str) -> Result<Vec<String>, DbErr> {
    let statement = Statement::from_string(db.backend(), format!("{sql}{MAX_VIOLATIONS}"));
    let rows = Violation::find_by_statement(statement).all(db.reader()).await?;
    Ok(rows.iter().map(|row| format!("user {} {what}", row.id)).collect())
}
