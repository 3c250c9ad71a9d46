use actix_web::{HttpResponse, get, web};
use kernel::{Address, AddressId, Page, Timestamp};
use platform::access::Principal;
use platform::http::{Query, ok, page_of};
use platform::problem::{Problem, ProblemBody};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Context;
use crate::error::UsersError;
use crate::http::TAG;
use crate::store::addresses;

/// An address in the book.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BookedAddress {
    id: AddressId,
    address: Address,
    created_at: Timestamp,
}

impl TryFrom<addresses::Model> for BookedAddress {
    type Error = UsersError;

    fn try_from(row: addresses::Model) -> Result<Self, Self::Error> {
        let (id, created_at) = (AddressId(row.id), Timestamp::from_ms(row.created_at_ms));
        Ok(Self { id, address: row.address()?, created_at })
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListAddresses {
    /// Items a page, 1 to 100; 20 unless told.
    #[param(minimum = 1, maximum = 100, example = 20)]
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Your address book, oldest first
#[utoipa::path(
    tag = TAG,
    security(("bearer" = []), ("api_key" = ["users:read"])),
    params(ListAddresses),
    responses(
        (status = 200, body = Page<BookedAddress>),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "An unknown or wrong parameter"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key without the scope `users:read`"),
    ),
)]
#[get("/users/me/addresses")]
pub(crate) async fn list_addresses(
    context: web::Data<Context>,
    me: Principal,
    Query(query): Query<ListAddresses>,
) -> Result<HttpResponse, Problem> {
    let (limit, cursor) = page_of(query.limit, query.cursor.as_deref())?;
    let page = addresses::page_of(context.db.reader(), me.user_id, limit, cursor.as_ref()).await??;
    let items = page.items.into_iter().map(BookedAddress::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(ok(&Page { items, next_cursor: page.next_cursor }))
}
