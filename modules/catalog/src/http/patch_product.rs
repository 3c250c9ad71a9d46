use actix_web::{HttpResponse, patch, web};
use kernel::Money;
use platform::access::Admin;
use platform::http::{Conditional, Json, Path};
use platform::problem::{Problem, ProblemBody};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::Context;
use crate::app::change::{Changes, change};
use crate::http::precondition::expected_version;
use crate::http::{TAG, named, shown, to_the_end};
use crate::product::Product;

/// The fields that are to change; the others stay.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct PatchProduct {
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, nullable = false, min_length = 1, max_length = 64, pattern = r"^[A-Za-z0-9._-]+( [A-Za-z0-9._-]+)*$", example = "MUG-BLUE")]
    sku: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, nullable = false, min_length = 1, max_length = 200, pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$", example = "Blue mug")]
    name: Option<String>,
    /// 0 to 1,000,000.00 in the shop's currency.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Money>, nullable = false)]
    price: Option<Money>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, nullable = false, min_length = 1, max_length = 100, pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$", example = "Kitchen")]
    category: Option<String>,
    /// Null takes it away.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, max_length = 10000, pattern = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$", example = "Stoneware, 0.3 l")]
    description: Option<Option<String>>,
    /// Replaces all of them.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Object>, nullable = false, example = json!({"colour": "blue"}))]
    attributes: Option<Map<String, Value>>,
    /// Null takes it away.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, max_length = 2000, pattern = r"^https?://[^\s\x00-\x1f\x7f-\x9f]+$", example = "https://shop.example/mug.png")]
    image_url: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<bool>, nullable = false)]
    active: Option<bool>,
}

/// A field that is there, null included: null is a value, which most fields refuse.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl From<PatchProduct> for Changes {
    fn from(body: PatchProduct) -> Self {
        Self {
            sku: body.sku,
            name: body.name,
            description: body.description,
            category: body.category,
            price: body.price,
            active: body.active,
            attributes: body.attributes,
            image_url: body.image_url,
        }
    }
}

/// Change some fields of a product
#[utoipa::path(
    tag = TAG,
    security(("bearer" = ["admin"]), ("api_key" = ["admin", "catalog:write"])),
    params(
        ("id" = String, Path, description = "Its id, or its SKU in either case", example = "MUG-BLUE"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that you read: 412 if it has changed"),
    ),
    request_body = PatchProduct,
    responses(
        (status = 200, body = Product, headers(("ETag" = String, description = "Its version"))),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "A field breaks a rule; `errors` names each"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "Not an admin, or an API key without the scope `catalog:write`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "No such product"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`sku_fixed`: a product keeps its SKU"),
        (status = 412, body = ProblemBody, content_type = "application/problem+json", description = "It has changed since you read it"),
    ),
)]
#[patch("/catalog/products/{id}")]
pub(crate) async fn patch_product(
    context: web::Data<Context>,
    Admin(admin): Admin,
    Path(path): Path<String>,
    conditional: Conditional,
    Json(body): Json<PatchProduct>,
) -> Result<HttpResponse, Problem> {
    let product = named(&path)?;
    let version = expected_version(&context, &conditional, &product).await?;
    let (context, by) = (context.into_inner(), admin.by());
    let at_work = context.clone();
    let changes = Changes::from(body);
    let done =
        to_the_end(&context, async move { change(&at_work, &product, version, by, changes).await }).await?;
    Ok(shown(&done))
}
