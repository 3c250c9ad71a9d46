//! Room on a RabbitMQ server for one test.

use platform::rabbit::{Options, reset};
use uuid::Uuid;

use crate::redis::Proxy;

/// Queues and exchanges of one test: their names begin with a prefix of its own, and they are deleted with this value.
pub struct TestRabbit {
    options: Options,
}

impl TestRabbit {
    /// Room on this server, for the shop's own subscriptions until the options say otherwise.
    pub fn create(url: String, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::new(url, format!("souk_test_{}", Uuid::new_v4().simple()));
        change(&mut options);
        Self { options }
    }

    /// For a process.
    pub fn options(&self) -> Options {
        self.options.clone()
    }

    /// For a process that connects through a proxy.
    pub fn options_through(&self, proxy: &Proxy) -> Options {
        Options { url: proxy.url(), ..self.options() }
    }

    /// A proxy before the server.
    pub async fn proxy(&self) -> Proxy {
        let (_, rest) = self.options.url.split_once("://").unwrap();
        let authority = rest.split('/').next().unwrap();
        let host = authority.rsplit('@').next().unwrap();
        let address = if host.contains(':') { host.to_owned() } else { format!("{host}:5672") };
        let template = self.options.url.replacen(&format!("@{host}"), "@{address}", 1);
        Proxy::to(&address, template).await
    }
}

impl Drop for TestRabbit {
    fn drop(&mut self) {
        let options = self.options();
        // Drop cannot wait, and the test's runtime may be ending: a thread of its own does the work.
        let deleted = std::thread::spawn(move || {
            crate::run(async move { reset(&options).await.unwrap() });
        })
        .join();
        if deleted.is_err() && !std::thread::panicking() {
            panic!("the queues of the test could not be deleted");
        }
    }
}
