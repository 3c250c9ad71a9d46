//! A database that stores nothing: it says why, and goes on where it can again.
#![expect(clippy::unwrap_used, reason = "a test that goes wrong stops where it does")]

use platform::db::{Db, DbOptions, Location};
use platform::problem::{Outage, Problem, codes};
use platform::system::System;
use sea_orm::{ConnectionTrait, DbErr, Statement};

async fn open(folder: &tempfile::TempDir) -> Db {
    let location = Location::Sqlite { folder: folder.path().to_owned() };
    let db = Db::open("storage", &DbOptions::new(location), System::real()).await.unwrap();
    db.writer().execute_unprepared("CREATE TABLE notes (text TEXT NOT NULL)").await.unwrap();
    db
}

async fn write(db: &Db) -> Result<(), DbErr> {
    let tx = db.begin().await?;
    let note = format!("INSERT INTO notes VALUES ('{}')", "x".repeat(20_000));
    tx.conn().execute_unprepared(&note).await?;
    tx.commit().await.map(|_| ())
}

async fn pragma(db: &Db, pragma: &str) {
    db.writer().execute_unprepared(pragma).await.unwrap();
}

#[tokio::test]
async fn a_full_database_says_so_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder).await;
    write(&db).await.unwrap();
    pragma(&db, "PRAGMA max_page_count = 1").await;
    let refused = write(&db).await.unwrap_err();
    assert_eq!(Outage::of(&refused), Some(Outage::Full), "{refused}");
    let problem = Problem::from(refused);
    assert_eq!(problem.code(), codes::STORAGE_UNAVAILABLE);
    assert!(problem.detail().contains("full"), "{}", problem.detail());
    pragma(&db, "PRAGMA max_page_count = 1000000").await;
    write(&db).await.unwrap();
    db.close().await.unwrap();
}

#[tokio::test]
async fn a_database_that_only_reads_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder).await;
    assert_eq!(db.try_storing().await, Ok(()));
    pragma(&db, "PRAGMA query_only = ON").await;
    let refused = write(&db).await.unwrap_err();
    assert_eq!(Outage::of(&refused), Some(Outage::NotWritable), "{refused}");
    assert_eq!(db.try_storing().await, Err(Outage::NotWritable));
    pragma(&db, "PRAGMA query_only = OFF").await;
    assert_eq!(db.try_storing().await, Ok(()));
    write(&db).await.unwrap();
    db.close().await.unwrap();
}

/// As SQLite does by itself when the disk is full or fails at a commit. What the writer commits from then on must be
/// committed, whatever was rolled back in between: another connection sees it.
#[tokio::test]
async fn a_transaction_that_sqlite_has_ended_does_not_spoil_the_writer() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder).await;
    let ended = db.begin().await.unwrap();
    ended.conn().execute_unprepared("ROLLBACK").await.unwrap();
    assert!(ended.commit().await.is_err(), "nothing was committed");
    let undone = db.begin().await.unwrap();
    undone.conn().execute_unprepared("INSERT INTO notes VALUES ('undone')").await.unwrap();
    undone.rollback().await.unwrap();
    write(&db).await.unwrap();
    let count = Statement::from_string(db.backend(), "SELECT count(*) FROM notes");
    let row = db.reader().query_one_raw(count).await.unwrap().unwrap();
    assert_eq!(row.try_get_by_index::<i64>(0).unwrap(), 1, "what was committed is not there");
    db.close().await.unwrap();
}

#[tokio::test]
async fn a_broken_rule_is_no_outage() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder).await;
    let refused = db.writer().execute_unprepared("INSERT INTO notes VALUES (NULL)").await.unwrap_err();
    assert_eq!(Outage::of(&refused), None, "{refused}");
    assert_eq!(Problem::from(refused).code(), codes::INTERNAL);
    db.close().await.unwrap();
}
