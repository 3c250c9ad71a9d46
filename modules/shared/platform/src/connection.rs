//! What queries run on: a module's connections, or a transaction on one of them. Both go where `sea_orm` wants a [`ConnectionTrait`].
//!
//! SQLite goes through sea-orm's pool. PostgreSQL has one of its own, see `postgres_pool`.

use async_trait::async_trait;
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult,
    IsolationLevel, QueryResult, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
};

use crate::postgres_pool::{PostgresPool, PostgresTransaction};

/// The connections of a module, for statements that are a transaction each.
#[derive(Clone)]
pub struct Connection(pub(crate) Way);

#[derive(Clone)]
pub(crate) enum Way {
    Sqlite(DatabaseConnection),
    Postgres(PostgresPool),
}

/// A transaction. Dropping it rolls back.
pub struct Transaction(Open);

enum Open {
    Sqlite(DatabaseTransaction),
    Postgres(PostgresTransaction),
}

impl Connection {
    /// Begins a transaction that writes. SQLite takes its writer at once.
    pub(crate) async fn begin(&self) -> Result<Transaction, DbErr> {
        self.begin_as(Some(SqliteTransactionMode::Immediate), "BEGIN").await
    }

    /// Begins one that reads, and sees the data of one moment.
    pub(crate) async fn begin_snapshot(&self) -> Result<Transaction, DbErr> {
        let begin =
            format!("BEGIN ISOLATION LEVEL {} {}", IsolationLevel::RepeatableRead, AccessMode::ReadOnly);
        self.begin_as(Some(SqliteTransactionMode::Deferred), &begin).await
    }

    async fn begin_as(
        &self,
        sqlite_transaction_mode: Option<SqliteTransactionMode>,
        begin: &str,
    ) -> Result<Transaction, DbErr> {
        let open = match &self.0 {
            Way::Sqlite(pool) => {
                let options = TransactionOptions { sqlite_transaction_mode, ..TransactionOptions::default() };
                Open::Sqlite(pool.begin_with_options(options).await?)
            }
            Way::Postgres(pool) => Open::Postgres(pool.begin(begin).await?),
        };
        Ok(Transaction(open))
    }

    /// Closes every connection.
    pub(crate) async fn close(&self) -> Result<(), DbErr> {
        match &self.0 {
            Way::Sqlite(pool) => pool.close_by_ref().await,
            Way::Postgres(pool) => {
                pool.close().await;
                Ok(())
            }
        }
    }
}

impl Transaction {
    /// Makes it last.
    pub async fn commit(self) -> Result<(), DbErr> {
        match self.0 {
            Open::Sqlite(open) => open.commit().await,
            Open::Postgres(open) => open.commit().await,
        }
    }

    /// Undoes everything. Dropping does too, but later.
    pub async fn rollback(self) -> Result<(), DbErr> {
        match self.0 {
            Open::Sqlite(open) => open.rollback().await,
            Open::Postgres(open) => open.rollback().await,
        }
    }
}

#[async_trait]
impl ConnectionTrait for Connection {
    fn get_database_backend(&self) -> DbBackend {
        match &self.0 {
            Way::Sqlite(_) => DbBackend::Sqlite,
            Way::Postgres(_) => DbBackend::Postgres,
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match &self.0 {
            Way::Sqlite(pool) => pool.execute_raw(statement).await,
            Way::Postgres(pool) => pool.execute(statement).await,
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match &self.0 {
            Way::Sqlite(pool) => pool.execute_unprepared(sql).await,
            Way::Postgres(pool) => pool.execute_unprepared(sql).await,
        }
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        match &self.0 {
            Way::Sqlite(pool) => pool.query_one_raw(statement).await,
            Way::Postgres(pool) => pool.query_one(statement).await,
        }
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match &self.0 {
            Way::Sqlite(pool) => pool.query_all_raw(statement).await,
            Way::Postgres(pool) => pool.query_all(statement).await,
        }
    }
}

#[async_trait]
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DbBackend {
        match &self.0 {
            Open::Sqlite(_) => DbBackend::Sqlite,
            Open::Postgres(_) => DbBackend::Postgres,
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match &self.0 {
            Open::Sqlite(open) => open.execute_raw(statement).await,
            Open::Postgres(open) => open.execute(statement).await,
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match &self.0 {
            Open::Sqlite(open) => open.execute_unprepared(sql).await,
            Open::Postgres(open) => open.execute_unprepared(sql).await,
        }
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        match &self.0 {
            Open::Sqlite(open) => open.query_one_raw(statement).await,
            Open::Postgres(open) => open.query_one(statement).await,
        }
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match &self.0 {
            Open::Sqlite(open) => open.query_all_raw(statement).await,
            Open::Postgres(open) => open.query_all(statement).await,
        }
    }
}
