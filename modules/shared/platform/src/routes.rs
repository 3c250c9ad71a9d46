//! Where a module's routes go: into a server, or into its OpenAPI document.

use actix_web::dev::HttpServiceFactory;
use actix_web::web;
use utoipa_actix_web::OpenApiFactory;
use utoipa_actix_web::service_config::ServiceConfig;

/// Takes the operations of a module. Each thread of a server registers them for itself; the documents, of which there is one a module
/// and which take megabytes while they are made, are made only where they are asked for.
pub struct Routes<'a, 's>(Way<'a, 's>);

enum Way<'a, 's> {
    Server(&'a mut web::ServiceConfig),
    Document(&'a mut ServiceConfig<'s>),
}

impl<'a, 's> Routes<'a, 's> {
    /// To be served.
    pub fn served(config: &'a mut web::ServiceConfig) -> Self {
        Self(Way::Server(config))
    }

    /// To be documented.
    pub fn documented(config: &'a mut ServiceConfig<'s>) -> Self {
        Self(Way::Document(config))
    }

    /// What the handlers have at hand.
    pub fn app_data<T: 'static>(&mut self, data: T) -> &mut Self {
        match &mut self.0 {
            Way::Server(config) => {
                config.app_data(data);
            }
            Way::Document(config) => {
                config.app_data(data);
            }
        }
        self
    }

    /// An operation.
    pub fn service(&mut self, operation: impl HttpServiceFactory + OpenApiFactory + 'static) -> &mut Self {
        match &mut self.0 {
            Way::Server(config) => {
                config.service(operation);
            }
            Way::Document(config) => {
                config.service(operation);
            }
        }
        self
    }
}
