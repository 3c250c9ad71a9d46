use actix_web::{HttpResponse, get, web};
use kernel::PaymentId;
use platform::access::Principal;
use platform::http::{Path, ok};
use platform::problem::{Problem, ProblemBody};

use crate::Context;
use crate::app::outcome::PaymentBody;
use crate::error::PaymentError;
use crate::http::{TAG, scope_of};
use crate::store::payments;

/// One payment
#[utoipa::path(
    tag = TAG,
    security(("bearer" = []), ("api_key" = ["payments:read"])),
    params(("id" = PaymentId, Path, description = "The payment")),
    responses(
        (status = 200, body = PaymentBody),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key without the scope `payments:read`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "You have no such payment"),
    ),
)]
#[get("/payments/{id}")]
pub(crate) async fn get_payment(
    context: web::Data<Context>,
    reader: Principal,
    Path(id): Path<PaymentId>,
) -> Result<HttpResponse, Problem> {
    let row = payments::find(context.db.reader(), scope_of(&reader), id).await?;
    Ok(ok(&PaymentBody::try_from(&row.ok_or(PaymentError::NotFound(id))?)?))
}
