//! The documents of the API: OpenAPI 3.1 and Swagger UI a module, an index, and the table of error codes. Everything is
//! inside the binary, so the pages work offline.

use std::sync::Arc;

use actix_web::http::header;
use actix_web::{App, HttpRequest, HttpResponse, web};
use platform::access::policy::{self, Policies, PolicyError};
use platform::module::Module;
use platform::problem::{ErrorCode, Problem, codes};
use platform::routes::Routes;
use thiserror::Error;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, Ref, RefOr, ResponseBuilder};
use utoipa_actix_web::AppExt;
use utoipa_swagger_ui::Config;

use crate::route_table::RouteTable;

/// The documents of the modules of this process, and the errors of all that are compiled.
pub struct Docs {
    pages: Vec<Page>,
    error_codes: Vec<ErrorCode>,
}

/// Why the documents, and with them the operations, cannot be served.
#[derive(Debug, Error)]
pub enum DocsError {
    #[error("the documents of the API cannot be written")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

struct Page {
    module: &'static str,
    /// As JSON text: the parsed form is some ten times larger.
    openapi: String,
    swagger: Arc<Config<'static>>,
}

impl Docs {
    /// Reads every module's routes; they go into the tables, too: which there are, and who may call them.
    pub fn of(
        modules: &[Arc<dyn Module>],
        routes: &mut RouteTable,
        policies: &mut Policies,
    ) -> Result<Self, DocsError> {
        let mut pages = Vec::new();
        for module in modules {
            let document = document(module.as_ref());
            routes.add_all(&document);
            policies.add_all(&document)?;
            pages.push(Page {
                module: module.name(),
                openapi: serde_json::to_string(&document)?,
                swagger: Arc::new(
                    Config::new([format!("/{}/openapi.json", module.name())])
                        .persist_authorization(true)
                        .display_request_duration(true)
                        .try_it_out_enabled(true),
                ),
            });
        }
        let mut error_codes: Vec<ErrorCode> = codes::ALL.to_vec();
        error_codes.extend(crate::wiring::error_codes());
        error_codes.sort_by_key(|code| (code.status, code.code));
        error_codes.dedup_by_key(|code| code.code);
        Ok(Self { pages, error_codes })
    }

    /// Every code that an error can carry.
    pub fn error_codes(&self) -> &[ErrorCode] {
        &self.error_codes
    }

    fn page(&self, module: &str) -> Option<&Page> {
        self.pages.iter().find(|page| page.module == module)
    }
}

/// The OpenAPI document of a module, from the routes that it serves.
pub fn document(module: &dyn Module) -> OpenApi {
    let (_, mut document) = App::new()
        .into_utoipa_app()
        .configure(|config| module.routes(&mut Routes::documented(config)))
        .split_for_parts();
    let license = LicenseBuilder::new().name("MIT").identifier(Some("MIT")).build();
    document.info = InfoBuilder::new()
        .title(format!("Souk: {}", module.name()))
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(format!(
            "{}.\n\nMoney is in minor units (2999 is 29.99 GBP), times are RFC 3339 UTC, errors are \
             [problem+json](/docs/errors). Log in at `POST /auth/login`, then use `access_token` with *Authorize*.",
            module.summary()
        )))
        .license(Some(license))
        .build();
    document.tags =
        Some(vec![TagBuilder::new().name(module.name()).description(Some(module.summary())).build()]);
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("An access token of POST /auth/login"))
        .build();
    let api_key = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("souk_...")
        .description(Some("An API key of POST /auth/api-keys; each operation names the scopes that it needs"))
        .build();
    let schemes = &mut document.components.get_or_insert_default().security_schemes;
    schemes.insert(policy::BEARER.to_owned(), SecurityScheme::Http(bearer).into());
    schemes.insert(policy::API_KEY.to_owned(), SecurityScheme::Http(api_key).into());
    add_default_error(&mut document);
    bound_keys(&mut document);
    omit_nothing(&mut document);
    document
}

/// A body that may be left out is not one that may be `null`.
fn omit_nothing(document: &mut OpenApi) {
    let bodies = document.paths.paths.values_mut().flat_map(operations).flat_map(|it| &mut it.request_body);
    let inline = bodies.filter_map(|body| match body {
        RefOr::T(body) => Some(body),
        RefOr::Ref(_) => None,
    });
    for content in inline.flat_map(|body| body.content.values_mut()) {
        let RefOr::T(content) = content else {
            continue;
        };
        if let Some(RefOr::T(Schema::OneOf(choice))) = &content.schema {
            let is_reference = |item: &RefOr<Schema>| matches!(item, RefOr::Ref(_));
            if let [RefOr::T(_), body] | [body, RefOr::T(_)] = choice.items.as_slice()
                && is_reference(body)
            {
                content.schema = Some(body.clone());
            }
        }
    }
}

/// The operations of a path.
fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete].into_iter().flatten()
}

/// What an `Idempotency-Key` may be is the same wherever one is read. Logins and registrations take any, and read none.
fn bound_keys(document: &mut OpenApi) {
    let parameters = document.paths.paths.values_mut().flat_map(operations);
    for parameter in parameters.flat_map(|operation| &mut operation.parameters).flatten() {
        let RefOr::T(parameter) = parameter else {
            continue;
        };
        let is_read =
            !parameter.description.as_ref().is_some_and(|text| text.starts_with("Accepted and not needed"));
        if parameter.name != "Idempotency-Key" || !is_read {
            continue;
        }
        let key = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(255))
            .pattern(Some("^[ -~]*[!-~][ -~]*$"));
        parameter.schema = Some(key.into());
    }
}

/// Every operation can also fail in the ways that any request can.
fn add_default_error(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    if !components.schemas.contains_key("Problem") {
        components.schemas.insert(
            "Problem".to_owned(),
            <platform::problem::ProblemBody as utoipa::PartialSchema>::schema(),
        );
        let mut parts = Vec::new();
        <platform::problem::ProblemBody as utoipa::ToSchema>::schemas(&mut parts);
        components.schemas.extend(parts);
    }
    let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let default = ResponseBuilder::new()
        .description("Any other error, such as `too_many_requests` or `unavailable`")
        .content("application/problem+json", problem)
        .build();
    for item in document.paths.paths.values_mut() {
        for operation in operations(item) {
            operation
                .responses
                .responses
                .entry("default".to_owned())
                .or_insert_with(|| default.clone().into());
        }
    }
}

/// `/<module>/openapi.json`.
pub async fn openapi_json(docs: web::Data<Docs>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let page = docs.page(first_segment(&request)).ok_or_else(|| Problem::not_found("document"))?;
    Ok(HttpResponse::Ok().content_type("application/json").body(page.openapi.clone()))
}

/// `/<module>/docs` and the files below it.
pub async fn swagger_ui(docs: web::Data<Docs>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let module = first_segment(&request);
    let page = docs.page(module).ok_or_else(|| Problem::not_found("document"))?;
    let file = request.match_info().get("file").unwrap_or_default();
    let served = utoipa_swagger_ui::serve(file, page.swagger.clone())
        .map_err(|error| Problem::internal(&std::io::Error::other(error.to_string())))?
        .ok_or_else(|| Problem::not_found("file"))?;
    if !file.is_empty() {
        return Ok(HttpResponse::Ok().content_type(served.content_type).body(served.bytes.into_owned()));
    }
    // The page names its files relative to itself, which depends on a slash at the end; ours does not.
    let html = String::from_utf8_lossy(&served.bytes).replace("\"./", &format!("\"/{module}/docs/"));
    let html = html.replace("href=\"index.css\"", &format!("href=\"/{module}/docs/index.css\""));
    Ok(HttpResponse::Ok().content_type(served.content_type).body(html))
}

fn first_segment(request: &HttpRequest) -> &str {
    request.path().trim_start_matches('/').split('/').next().unwrap_or_default()
}

/// `/`: a browser wants the docs.
pub async fn home() -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, "/docs")).finish()
}

/// `/docs`: the modules, wherever they run.
pub async fn index() -> HttpResponse {
    let rows: String = contracts::modules::MODULES
        .iter()
        .map(|(module, summary)| {
            format!(
                "<tr><td><a href=\"/{module}/docs\">{module}</a></td><td>{summary}</td>\
                 <td><a href=\"/{module}/openapi.json\">openapi.json</a></td></tr>"
            )
        })
        .collect();
    html(
        "Souk",
        &format!(
            "<p>Every module documents itself. Errors are <a href=\"/docs/errors\">listed here</a>; \
             <code>/readyz</code> and <code>/metrics</code> of each process are for operators.</p>\
             <table><tr><th>module</th><th>what it does</th><th>OpenAPI 3.1</th></tr>{rows}</table>"
        ),
    )
}

/// `/docs/errors`: every error code; the `type` of a problem points here.
pub async fn errors(docs: web::Data<Docs>) -> HttpResponse {
    let rows: String = docs
        .error_codes
        .iter()
        .map(|code| {
            format!(
                "<tr id=\"{0}\"><td>{1}</td><td><code>{0}</code></td><td>{2}</td></tr>",
                code.code, code.status, code.title
            )
        })
        .collect();
    html(
        "Error codes",
        &format!(
            "<p>Errors are <code>application/problem+json</code> (RFC 9457). Branch on <code>code</code>; quote \
             <code>trace_id</code> when you report one.</p>\
             <table><tr><th>status</th><th>code</th><th>meaning</th></tr>{rows}</table>"
        ),
    )
}

fn html(title: &str, body: &str) -> HttpResponse {
    HttpResponse::Ok().content_type("text/html; charset=utf-8").body(format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>body{{font:16px/1.5 system-ui,sans-serif;\
         max-width:60rem;margin:2rem auto;padding:0 1rem}}table{{border-collapse:collapse;width:100%}}\
         td,th{{text-align:left;padding:.4rem .8rem;border-bottom:1px solid #ddd}}tr:target{{background:#ffd}}</style>\
         </head><body><h1>{title}</h1>{body}</body></html>"
    ))
}
