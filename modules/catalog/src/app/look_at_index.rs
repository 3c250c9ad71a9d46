//! Tells the operator when searches have to do without their index.

use platform::db::Db;
use sea_orm::DbErr;

use crate::store::search;

pub(crate) async fn look_at_index(db: &Db) -> Result<(), DbErr> {
    if !search::has_index(db.reader()).await? {
        tracing::warn!(
            remedy = "do what OPERATING.md says under `Search`",
            "searches for rare words read every product: there is no index of trigrams that works"
        );
    }
    Ok(())
}
