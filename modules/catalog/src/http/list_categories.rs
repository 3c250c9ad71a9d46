use actix_web::{HttpResponse, get, web};
use platform::problem::Problem;

use crate::Context;
use crate::app::categories::categories;
use crate::http::TAG;
use crate::product::CategoryList;

/// The categories of what is on sale
#[utoipa::path(
    tag = TAG,
    security(()),
    responses((status = 200, body = CategoryList, description = "Each with how many products of it are on sale")),
)]
#[get("/catalog/categories")]
pub(crate) async fn list_categories(context: web::Data<Context>) -> Result<HttpResponse, Problem> {
    let list = categories(&context).await?;
    Ok(HttpResponse::Ok().content_type("application/json").body(list))
}
