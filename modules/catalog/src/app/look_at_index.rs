//! Tells the operator when searches have to do without an index of theirs.

use platform::db::Db;
use sea_orm::DbErr;

use crate::store::search;

pub(crate) async fn look_at_index(db: &Db) -> Result<(), DbErr> {
    let missing = search::missing_indexes(db.reader()).await?;
    if !missing.is_empty() {
        tracing::warn!(
            missing = missing.join(", "),
            remedy = "do what OPERATING.md says under `Search`",
            "searches for rare words or numbers read every product: an index does not work or is not there"
        );
    }
    Ok(())
}
