use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, post, web};
use kernel::{Currency, Money};
use platform::access::Admin;
use platform::http::{ETag, IdempotencyKey, Json};
use platform::problem::{Problem, ProblemBody};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::Context;
use crate::app::create::create;
use crate::domain::product::Draft;
use crate::error::CatalogError;
use crate::http::{TAG, to_the_end};
use crate::product::{Contents, Product};

/// A whole product, as a shopkeeper writes it. What is left out takes its default.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct WriteProduct {
    /// 1 to 64 characters of A-Z, 0-9, dot, underscore, hyphen and single spaces between them, in either case; not
    /// written like an id.
    #[schema(
        min_length = 1,
        max_length = 64,
        pattern = r"^[A-Za-z0-9._-]+( [A-Za-z0-9._-]+)*$",
        example = "MUG-BLUE"
    )]
    sku: String,
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
        example = "Blue mug"
    )]
    name: String,
    /// 0 to 1,000,000.00 in the shop's currency.
    price: Money,
    #[schema(
        min_length = 1,
        max_length = 100,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
        example = "Kitchen"
    )]
    category: String,
    /// None unless told.
    #[serde(default)]
    #[schema(
        max_length = 10000,
        pattern = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$",
        example = "Stoneware, 0.3 l"
    )]
    description: Option<String>,
    /// Up to 50 of them, and 8 KiB of JSON; none unless told.
    #[serde(default)]
    #[schema(value_type = Option<Object>, example = json!({"colour": "blue"}))]
    attributes: Option<Map<String, Value>>,
    /// Begins with `http://` or `https://`; none unless told.
    #[serde(default)]
    #[schema(
        max_length = 2000,
        pattern = r"^https?://[^\s\x00-\x1f\x7f-\x9f]+$",
        example = "https://shop.example/mug.png"
    )]
    image_url: Option<String>,
    /// Whether it is on sale; true unless told.
    #[serde(default)]
    active: Option<bool>,
}

impl WriteProduct {
    pub(crate) fn contents(self, shop: Currency) -> Result<Contents, CatalogError> {
        let draft = Draft {
            sku: self.sku,
            name: self.name,
            description: self.description,
            category: self.category,
            price: self.price,
            active: self.active.unwrap_or(true),
            image_url: self.image_url,
        };
        Contents::parse(draft, self.attributes.unwrap_or_default(), shop).map_err(CatalogError::Refused)
    }
}

/// Add a product
#[utoipa::path(
    tag = TAG,
    security(("bearer" = ["admin"]), ("api_key" = ["admin", "catalog:write"])),
    params(("Idempotency-Key" = Option<String>, Header, description = "A key of your own making: the same request again gives the same answer")),
    request_body = WriteProduct,
    responses(
        (status = 201, body = Product, headers(
            ("ETag" = String, description = "Its version"),
            ("Location" = String, description = "Where it is"),
            ("Idempotency-Replayed" = Option<String>, description = "`true` if an earlier request did it"),
        )),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "A field breaks a rule; `errors` names each"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "Not an admin, or an API key without the scope `catalog:write`"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`sku_taken`, or a request with this key is still running"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "This key came with another body"),
    ),
)]
#[post("/catalog/products")]
pub(crate) async fn post_product(
    context: web::Data<Context>,
    Admin(admin): Admin,
    key: IdempotencyKey,
    Json(body): Json<WriteProduct>,
) -> Result<HttpResponse, Problem> {
    let request = key.covering(&admin.scope(), "POST /catalog/products", &body);
    let contents = body.contents(context.settings.currency)?;
    let (context, by) = (context.into_inner(), admin.by());
    let at_work = context.clone();
    let answer = to_the_end(&context, async move { create(&at_work, request, by, &contents).await }).await?;
    let (tag, id) = (ETag::of(answer.value.version), answer.value.product.id);
    let mut response = answer.map(|current| current.product).respond(StatusCode::CREATED);
    let headers =
        [(header::ETAG, tag.as_str().to_owned()), (header::LOCATION, format!("/catalog/products/{id}"))];
    for (name, value) in headers {
        let value = header::HeaderValue::from_str(&value).map_err(|error| Problem::internal(&error))?;
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}
