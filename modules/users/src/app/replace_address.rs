//! Replaces an address in a user's book.

use kernel::{Address, AddressId, UserId};
use sea_orm::DbErr;

use crate::Context;
use crate::error::UsersError;
use crate::store::addresses;

pub(crate) async fn replace_address(
    context: &Context,
    user_id: UserId,
    id: AddressId,
    address: &Address,
) -> Result<addresses::Model, UsersError> {
    let json = serde_json::to_value(address).map_err(|error| DbErr::Custom(error.to_string()))?;
    let tx = context.db.begin().await?;
    if !addresses::replace_of(tx.conn(), user_id, id, json).await? {
        return Err(UsersError::NotFound("address"));
    }
    let row = addresses::find_of(tx.conn(), user_id, id).await?.ok_or(UsersError::NotFound("address"))?;
    tx.commit().await?;
    Ok(row)
}
