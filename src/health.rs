//! Whether the process lives, whether it can serve, and its metrics.

use actix_web::{HttpResponse, get, web};
use futures_util::future::join_all;
use platform::problem::Problem;
use sea_orm::DbErr;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use platform::access::TokenVerifier;
use platform::module::Module;
use tokio::sync::Mutex;

/// How long the outcome of a try to store something is believed.
const TRIED_EVERY: Duration = Duration::from_secs(1);
/// How long such a try waits for the one connection that writes.
const TRIED_WITHIN: Duration = Duration::from_secs(1);

/// The modules of this process, for health checks.
pub struct Health {
    modules: Vec<Arc<dyn Module>>,
    verifier: Arc<TokenVerifier>,
    /// What the last try to store something came to, and when that was.
    storage: Mutex<Option<(Instant, Option<String>)>>,
    /// A schema only moves forward while we run: once it was current, it stays so.
    schema_is_current: AtomicBool,
}

impl Health {
    /// For these modules.
    pub fn new(modules: Vec<Arc<dyn Module>>, verifier: Arc<TokenVerifier>) -> Self {
        Self { modules, verifier, storage: Mutex::new(None), schema_is_current: AtomicBool::new(false) }
    }

    /// Says what is wrong, in words without inner details; `None` if all is well.
    async fn failed_check(&self) -> Option<String> {
        for module in &self.modules {
            if let Err(error) = module.db().ping().await {
                tracing::warn!(module = module.name(), cause = %platform::problem::chain(&error), "health check failed");
                return Some(format!("the database of {} does not answer", module.name()));
            }
        }
        if let Some(failed) = self.failing_storage().await {
            return Some(failed);
        }
        if !self.verifier.is_ready() {
            return Some("auth has not told its keys yet".to_owned());
        }
        if self.schema_is_current.load(Ordering::Relaxed) {
            return None;
        }
        for module in &self.modules {
            match self.pending_steps(module.as_ref()).await {
                Ok(0) => {}
                Ok(pending) => {
                    return Some(format!(
                        "{} misses {pending} migrations; run `souk migrate up`",
                        module.name()
                    ));
                }
                Err(_) => return Some(format!("the schema of {} cannot be read", module.name())),
            }
        }
        self.schema_is_current.store(true, Ordering::Relaxed);
        None
    }

    /// Tries to store something in each database. Whoever asks again within [`TRIED_EVERY`] hears the same, as a try costs
    /// the disk something.
    async fn failing_storage(&self) -> Option<String> {
        let mut last = self.storage.lock().await;
        if let Some((tried_at, failed)) = last.as_ref()
            && tried_at.elapsed() < TRIED_EVERY
        {
            return failed.clone();
        }
        // All at once, so that the answer comes within one bound. A writer that is busy for longer writes.
        let tries = self.modules.iter().map(|module| async move {
            match tokio::time::timeout(TRIED_WITHIN, module.db().try_storing()).await {
                Ok(Err(outage)) => {
                    tracing::error!(module = module.name(), "the storage takes no changes: {outage}");
                    Some(format!("the database of {} takes no changes: {outage}", module.name()))
                }
                Ok(Ok(())) | Err(_) => None,
            }
        });
        let failed = join_all(tries).await.into_iter().flatten().next();
        *last = Some((Instant::now(), failed.clone()));
        failed
    }

    async fn pending_steps(&self, module: &dyn Module) -> Result<usize, DbErr> {
        let steps = migrations::status(module.name(), module.db().reader()).await?;
        Ok(steps.iter().filter(|(_, applied)| !applied).count())
    }
}

fn answer(service: &str, failed: Option<String>) -> HttpResponse {
    match failed {
        None => HttpResponse::Ok().json(json!({"status": "healthy", "service": service})),
        Some(check) => HttpResponse::ServiceUnavailable()
            .insert_header(("Retry-After", "1"))
            .json(json!({"status": "unhealthy", "service": service, "failed": check})),
    }
}

/// The process runs; nothing else is asked.
#[get("/livez")]
pub async fn livez() -> HttpResponse {
    answer("souk", None)
}

/// The process can serve: its databases answer and store what they are given, their schemas are current, and it can tell who is calling. A broker that
/// is away does not count: events then wait in the outboxes.
#[get("/readyz")]
pub async fn readyz(health: web::Data<Health>) -> HttpResponse {
    answer("souk", health.failed_check().await)
}

/// The same, under the usual name.
#[get("/health")]
pub async fn process_health(health: web::Data<Health>) -> HttpResponse {
    answer("souk", health.failed_check().await)
}

/// One module: its database answers.
pub async fn module_health(health: web::Data<Health>, request: actix_web::HttpRequest) -> HttpResponse {
    let name = request.path().trim_start_matches('/').split('/').next().unwrap_or_default();
    let Some(module) = health.modules.iter().find(|module| module.name() == name) else {
        return answer(name, Some("it does not run here".to_owned()));
    };
    let failed = module.db().ping().await.err().map(|_| "its database does not answer".to_owned());
    answer(module.name(), failed)
}

/// Counters and histograms in the Prometheus text format.
#[get("/metrics")]
pub async fn metrics() -> Result<HttpResponse, Problem> {
    let handle = crate::telemetry::metrics().map_err(|error| Problem::internal(&error))?;
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(handle.render()))
}
