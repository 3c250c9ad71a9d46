use actix_web::{FromRequest, HttpRequest, HttpResponse, get, web};
use kernel::Limit;
use platform::access::Admin;
use platform::http::{Query, page_of};
use platform::problem::{Problem, ProblemBody};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::Context;
use crate::app::list::{Listing, Place, list};
use crate::domain::product::parse_category;
use crate::domain::search::Words;
use crate::domain::sort::Sort;
use crate::error::CatalogError;
use crate::http::TAG;
use crate::product::ProductPage;
use crate::store::products::Filter;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListProducts {
    /// Only products of this category, written exactly so.
    #[param(example = "Kitchen")]
    category: Option<String>,
    /// Up to 10 words that all occur in name, description or SKU. Case does not matter; `%`, `_` and `\` are themselves.
    #[param(max_length = 200, example = "blue mug")]
    search: Option<String>,
    /// Only products of this price or more, in minor units: 500 is 5.00.
    #[param(minimum = 0, example = 500)]
    min_price: Option<i64>,
    /// Only products of this price or less, in minor units.
    #[param(minimum = 0, example = 2000)]
    max_price: Option<i64>,
    /// `name` (the default), `-name`, `price`, `-price`, `created_at` or `-created_at`; the hyphen turns it round.
    #[param(pattern = "^-?(name|price|created_at)$", example = "-price")]
    sort: Option<String>,
    /// Items a page, 1 to 100; 20 unless told.
    #[param(minimum = 1, maximum = 100, example = 20)]
    limit: Option<u64>,
    /// `next_cursor` of the page before, which must have the same sort.
    cursor: Option<String>,
    /// A numbered page instead of a cursor, counted from 1; page times limit is at most 10,000. Adds `pagination`.
    #[param(minimum = 1, maximum = 10000, example = 1)]
    page: Option<u64>,
    /// `false` lists what is retired instead of what is on sale; for admins only.
    active: Option<bool>,
}

/// List and search products
#[utoipa::path(
    tag = TAG,
    security((), ("bearer" = []), ("api_key" = ["catalog:read"])),
    params(ListProducts),
    responses(
        (status = 200, body = ProductPage),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "An unknown or wrong parameter"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "`active` without a valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "`active` by someone who is not an admin"),
    ),
)]
#[get("/catalog/products")]
pub(crate) async fn list_products(
    context: web::Data<Context>,
    request: HttpRequest,
    Query(query): Query<ListProducts>,
) -> Result<HttpResponse, Problem> {
    // The storefront needs no token, and one that has just expired must not close it.
    if query.active.is_some() {
        Admin::extract(&request).await?;
    }
    let page = list(&context, listing(query)?).await?;
    Ok(HttpResponse::Ok().content_type("application/json").body(page))
}

fn listing(query: ListProducts) -> Result<Listing, Problem> {
    let (limit, _) = page_of(query.limit, None)?;
    let place = match (query.page, query.cursor) {
        (Some(_), Some(_)) => {
            return Err(CatalogError::Query("send either `page` or `cursor`, not both".to_owned()).into());
        }
        (Some(page), None) => Place::Page(page),
        (None, Some(cursor)) => Place::After(cursor),
        (None, None) => Place::Start,
    };
    let negative = |price: Option<i64>| price.is_some_and(|price| price < 0);
    if negative(query.min_price) || negative(query.max_price) {
        return Err(CatalogError::Query("a price is 0 or more, in minor units".to_owned()).into());
    }
    // A form field left empty asks for nothing.
    let category = query.category.filter(|category| !category.is_empty());
    let category = category
        .map(|category| parse_category(&category))
        .transpose()
        .map_err(|refusal| CatalogError::Query(refusal.to_string()))?;
    Ok(Listing {
        filter: Filter {
            active: query.active.unwrap_or(true),
            category,
            words: Words::parse(query.search.as_deref().unwrap_or_default()).map_err(CatalogError::from)?,
            min_price_minor: query.min_price,
            max_price_minor: query.max_price,
        },
        sort: query.sort.as_deref().map_or(Ok(Sort::default()), Sort::parse).map_err(CatalogError::from)?,
        limit: Limit::get(limit),
        place,
    })
}
