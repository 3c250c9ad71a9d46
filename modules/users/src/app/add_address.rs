//! Adds an address to a user's book.

use kernel::{Address, UserId};
use platform::http::Answer;
use platform::idempotency::{self, Begin, KeyedRequest};
use sea_orm::DbErr;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Context;
use crate::error::{MAX_ADDRESSES, UsersError};
use crate::store::{addresses, users};

/// What is remembered under the key: a retry hears the same, whatever has become of the address since.
#[derive(Serialize, Deserialize)]
struct Added {
    id: Uuid,
    address: serde_json::Value,
    created_at_ms: i64,
}

impl Added {
    fn of(row: &addresses::Model) -> Self {
        Self { id: row.id, address: row.address.clone(), created_at_ms: row.created_at_ms }
    }

    fn row(self, user_id: UserId) -> addresses::Model {
        let Self { id, address, created_at_ms } = self;
        addresses::Model { id, user_id: user_id.uuid(), address, created_at_ms }
    }
}

pub(crate) async fn add_address(
    context: &Context,
    user_id: UserId,
    address: Address,
    key: Option<KeyedRequest>,
) -> Result<Answer<addresses::Model>, UsersError> {
    let ticket = match idempotency::begin::<Added>(&context.db, key).await? {
        Begin::Work(ticket) => ticket,
        Begin::Replay(added) => return Ok(Answer::replayed(added.row(user_id))),
    };
    let row = addresses::Model {
        id: ticket.resource_id,
        user_id: user_id.uuid(),
        address: serde_json::to_value(&address).map_err(|error| DbErr::Custom(error.to_string()))?,
        created_at_ms: context.db.system().now().ms(),
    };
    let written = async {
        let tx = context.db.begin().await?;
        // The user's row is locked, so that two requests at once cannot both take the last place.
        users::find_for_update(tx.conn(), user_id).await?.ok_or(UsersError::NotFound("user"))?;
        if addresses::count_of(tx.conn(), user_id).await? >= MAX_ADDRESSES {
            return Err(UsersError::TooManyAddresses);
        }
        addresses::insert(tx.conn(), row.clone()).await?;
        ticket.complete(&tx, &Added::of(&row)).await?;
        tx.commit().await?;
        Ok(Answer::fresh(row))
    };
    match written.await {
        Err(refusal @ (UsersError::NotFound(_) | UsersError::TooManyAddresses)) => {
            ticket.withdraw(&context.db).await?;
            Err(refusal)
        }
        other => other,
    }
}
