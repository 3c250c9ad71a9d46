//! Takes an address out of a user's book.

use kernel::{AddressId, UserId};

use crate::Context;
use crate::error::UsersError;
use crate::store::addresses;

pub(crate) async fn delete_address(
    context: &Context,
    user_id: UserId,
    id: AddressId,
) -> Result<(), UsersError> {
    if addresses::delete_of(context.db.writer(), user_id, id).await? {
        Ok(())
    } else {
        Err(UsersError::NotFound("address"))
    }
}
