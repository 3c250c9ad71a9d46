//! Users as CSV, in and out.
//!
//! Imported users have no password: they get one by resetting it. No line of the file, and so no personal data, is logged.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use contracts::audit::By;
use contracts::users::{Role, UserRegistered};
use futures_util::{StreamExt, TryStreamExt};
use kernel::{Cursor, EmailAddress, Limit, UserId};
use platform::csv::{ImportSummary, Record, Records, Rows, Source, Transfer};
use platform::db::Tx;
use platform::problem::Problem;
use sea_orm::{DbErr, SqlErr};
use uuid::Uuid;

use crate::Context;
use crate::app::change_access::write_in;
use crate::domain::names::{parse_name, parse_username};
use crate::error::UsersError;
use crate::store::users;

/// Records that share one transaction.
const BATCH: usize = 200;
/// How often a batch is taken again because others took its names meanwhile.
const MAX_TRIES: u32 = 5;

pub(crate) struct TransferUsers {
    pub(crate) context: Arc<Context>,
}

/// What a line says; an empty cell says nothing.
struct Line {
    line: u64,
    email: EmailAddress,
    username: Option<String>,
    name: Option<String>,
    role: Option<Role>,
    active: Option<bool>,
}

enum Effect {
    Created,
    Updated,
    Unchanged,
}

#[async_trait]
impl Transfer for TransferUsers {
    fn resource(&self) -> &'static str {
        "users"
    }

    fn columns(&self) -> &'static [&'static str] {
        &["email", "username", "name", "role", "active"]
    }

    async fn import(
        &self,
        source: Source<'_>,
        by: By,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<ImportSummary, Problem> {
        let mut records = Records::open(source, &["email"]).await?;
        let mut summary = ImportSummary::default();
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let record = records.next().await?;
            let ended = record.is_none();
            match record.map(|record| (parse(&record), record)) {
                Some((Ok(line), _)) => batch.push(line),
                Some((Err(reason), record)) => {
                    summary.refuse(record.line, record.get("email").unwrap_or_default(), reason);
                }
                None => {}
            }
            if batch.len() >= BATCH || ended {
                self.take_all(&std::mem::take(&mut batch), by, &mut summary).await?;
                progress(records.rows_read);
            }
            if ended {
                summary.rows_read = records.rows_read;
                return Ok(summary);
            }
        }
    }

    fn export(&self) -> Rows {
        let context = self.context.clone();
        let first: Option<Option<Cursor>> = Some(None);
        futures_util::stream::try_unfold(first, move |at| {
            let context = context.clone();
            async move {
                let Some(cursor) = at else {
                    return Ok::<_, Problem>(None);
                };
                let limit = Limit::parse(Limit::MAX).unwrap_or_default();
                let page =
                    users::page(context.db.reader(), None, None, None, limit, cursor.as_ref()).await??;
                let rows: Vec<Result<Vec<String>, Problem>> =
                    page.items.into_iter().map(|row| Ok(cells(row))).collect();
                Ok(Some((futures_util::stream::iter(rows), page.next_cursor.map(Some))))
            }
        })
        .try_flatten()
        .boxed()
    }
}

impl TransferUsers {
    /// All of a batch or nothing of it. Whoever takes an email or a username between our look and our write makes the database
    /// refuse the write, and with it the transaction. The next look sees that name, so the batch is taken again.
    async fn take_all(&self, batch: &[Line], by: By, summary: &mut ImportSummary) -> Result<(), Problem> {
        let mut tries = 1;
        loop {
            let mut counted = summary.clone();
            match self.take_once(batch, by, &mut counted).await {
                Err(UsersError::Database(error)) if tries < MAX_TRIES && is_taken(&error) => tries += 1,
                Err(other) => return Err(other.into()),
                Ok(()) => {
                    *summary = counted;
                    return Ok(());
                }
            }
        }
    }

    async fn take_once(&self, batch: &[Line], by: By, summary: &mut ImportSummary) -> Result<(), UsersError> {
        let mut tx = self.context.db.begin().await?;
        let mut admins = users::active_admins_for_update(tx.conn()).await?;
        // A file may take hours to come: here the database has the word, not the token that came with its head.
        if by.user_id().is_some_and(|actor| !admins.contains(&actor.uuid())) {
            return Err(UsersError::NoLongerAdmin);
        }
        let emails: Vec<&str> = batch.iter().map(|line| line.email.as_str()).collect();
        let known = users::find_by_emails_for_update(tx.conn(), &emails).await?;
        let mut known: HashMap<String, users::Model> =
            known.into_iter().map(|row| (row.email.clone(), row)).collect();
        for line in batch {
            match take(&mut tx, &mut known, &mut admins, line, by).await {
                Ok(Effect::Created) => summary.created += 1,
                Ok(Effect::Updated) => summary.updated += 1,
                Ok(Effect::Unchanged) => summary.unchanged += 1,
                Err(refusal @ (UsersError::Profile(_) | UsersError::LastAdmin | UsersError::OwnAccess)) => {
                    summary.refuse(line.line, line.email.as_str(), refusal.to_string());
                }
                Err(other) => return Err(other),
            }
        }
        tx.commit().await?;
        Ok(())
    }
}

fn is_taken(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}

/// Creates or updates one user; later lines of the batch see what it did.
async fn take(
    tx: &mut Tx,
    known: &mut HashMap<String, users::Model>,
    admins: &mut Vec<Uuid>,
    line: &Line,
    by: By,
) -> Result<Effect, UsersError> {
    let (row, effect) = match known.get(line.email.as_str()) {
        None => (create(tx, line, by).await?, Effect::Created),
        Some(row) => {
            let changed = users::Model {
                username: line.username.clone().or_else(|| row.username.clone()),
                name: line.name.clone().or_else(|| row.name.clone()),
                role: line.role.map_or_else(|| row.role.clone(), |role| role.as_str().to_owned()),
                active: line.active.unwrap_or(row.active),
                ..row.clone()
            };
            if changed == *row {
                return Ok(Effect::Unchanged);
            }
            keep_an_admin(admins, &changed)?;
            let is_other_access = (changed.role(), changed.active) != (row.role(), row.active);
            if is_other_access && by.user_id() == Some(UserId(row.id)) {
                return Err(UsersError::OwnAccess);
            }
            (update(tx, row, changed, by).await?, Effect::Updated)
        }
    };
    admins.retain(|admin| *admin != row.id);
    if row.active && row.role() == Role::Admin {
        admins.push(row.id);
    }
    known.insert(row.email.clone(), row);
    Ok(effect)
}

/// Refuses a change after which nobody could run the shop.
fn keep_an_admin(active_admins: &[Uuid], changed: &users::Model) -> Result<(), UsersError> {
    let stays_admin = changed.active && changed.role() == Role::Admin;
    let is_last = active_admins == [changed.id];
    if is_last && !stays_admin { Err(UsersError::LastAdmin) } else { Ok(()) }
}

async fn create(tx: &mut Tx, line: &Line, by: By) -> Result<users::Model, UsersError> {
    let now = tx.system().now();
    let row = users::Model {
        id: tx.system().id(),
        email: line.email.as_str().to_owned(),
        username: line.username.clone(),
        name: line.name.clone(),
        role: line.role.unwrap_or(Role::Customer).as_str().to_owned(),
        active: line.active.unwrap_or(true),
        preferences: serde_json::json!({}),
        version: 1,
        created_at_ms: now.ms(),
        updated_at_ms: now.ms(),
    };
    if !users::insert(tx.conn(), row.clone()).await? {
        return Err(contracts::users::CreateProfileRefusal::UsernameTaken.into());
    }
    let registered = UserRegistered {
        user_id: UserId(row.id),
        email: line.email.clone(),
        name: row.name.clone(),
        role: Some(row.role()),
        by,
    };
    tx.emit(&registered).await?;
    Ok(row)
}

async fn update(
    tx: &mut Tx,
    before: &users::Model,
    changed: users::Model,
    by: By,
) -> Result<users::Model, UsersError> {
    if let Some(username) = changed.username.as_deref().filter(|_| changed.username != before.username)
        && users::find_by_username(tx.conn(), username).await?.is_some()
    {
        return Err(contracts::users::CreateProfileRefusal::UsernameTaken.into());
    }
    if (&changed.role, changed.active) != (&before.role, before.active) {
        return write_in(tx, before, changed, by).await;
    }
    let now = tx.system().now();
    if !users::update(tx.conn(), &changed, now).await? {
        return Err(UsersError::Changed { version: before.version });
    }
    Ok(users::Model { version: changed.version + 1, updated_at_ms: now.ms(), ..changed })
}

fn cells(row: users::Model) -> Vec<String> {
    vec![
        row.email,
        row.username.unwrap_or_default(),
        row.name.unwrap_or_default(),
        row.role,
        row.active.to_string(),
    ]
}

fn parse(record: &Record) -> Result<Line, String> {
    let role = |text: &str| Role::parse(&text.to_lowercase()).ok_or("there are customer and admin");
    let active = |text: &str| match text.to_lowercase().as_str() {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err("this is true or false"),
    };
    Ok(Line {
        line: record.line,
        email: record.parse("email", EmailAddress::parse)?,
        username: record.get("username").map(|_| record.parse("username", parse_username)).transpose()?,
        name: record.get("name").map(|_| record.parse("name", parse_name)).transpose()?,
        role: record.get("role").map(|_| record.parse("role", role)).transpose()?,
        active: record.get("active").map(|_| record.parse("active", active)).transpose()?,
    })
}
