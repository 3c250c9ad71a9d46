//! What processes tell one another beside the events: who is there, and who has handled what.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::Consumer;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::rabbit::handled::Handled;
#[cfg(doc)]
use crate::rabbit::handled::SILENCE;
use crate::rabbit::link::RabbitError;
use crate::rabbit::publisher::Publisher;
use crate::rabbit::topology::{EVERYONE, Names};

/// How often a process says that it is there; often enough not to be taken for gone ([`SILENCE`]) when one notice is lost.
const EVERY: Duration = Duration::from_secs(5);

/// What is said.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "notice", rename_all = "snake_case")]
pub(super) enum Notice {
    /// A process is there, runs these modules, and follows these types of event for its own memory. It may want to know who
    /// else is there.
    Here { process: Uuid, modules: Vec<String>, follows: Vec<String>, asks: bool },
    /// A process goes.
    Gone { process: Uuid },
    /// A module has handled an event.
    HandledByModule { event: Uuid, module: String },
    /// A process has taken an event into its memory.
    HandledByProcess { event: Uuid, process: Uuid },
}

/// Says something that may be lost.
pub(super) async fn say(publisher: &Publisher, names: &Names, routing_key: &str, notice: &Notice) {
    if let Ok(body) = serde_json::to_vec(notice) {
        publisher.say(&names.handled(), routing_key, &body).await;
    }
}

/// What a process says of itself and hears of others while one connection lives.
pub(super) struct Notices {
    pub(super) publisher: Arc<Publisher>,
    pub(super) names: Names,
    pub(super) handled: Arc<Handled>,
    pub(super) process: Uuid,
    pub(super) modules: Vec<String>,
    pub(super) follows: BTreeSet<&'static str>,
}

impl Notices {
    pub(super) async fn run(self, mut heard: Consumer, ending: CancellationToken) -> Result<(), RabbitError> {
        self.handled.set_live(true);
        let talked = tokio::select! {
            talked = self.talk(&mut heard) => talked,
            () = ending.cancelled() => Ok(()),
        };
        self.handled.set_live(false);
        say(&self.publisher, &self.names, EVERYONE, &Notice::Gone { process: self.process }).await;
        talked
    }

    async fn talk(&self, heard: &mut Consumer) -> Result<(), RabbitError> {
        self.publisher.opened().await;
        self.introduce(true).await;
        let mut beats = tokio::time::interval(EVERY);
        beats.reset();
        loop {
            tokio::select! {
                notice = heard.next() => {
                    let delivery = notice.ok_or_else(|| RabbitError::Cancelled("notices".to_owned()))??;
                    self.hear(&delivery.data).await;
                }
                _ = beats.tick() => self.introduce(false).await,
            }
        }
    }

    async fn introduce(&self, asks: bool) {
        let follows = self.follows.iter().map(|name| (*name).to_owned()).collect();
        let here = Notice::Here { process: self.process, modules: self.modules.clone(), follows, asks };
        say(&self.publisher, &self.names, EVERYONE, &here).await;
    }

    async fn hear(&self, body: &[u8]) {
        match serde_json::from_slice(body) {
            Ok(Notice::Here { process, modules, follows, asks }) => {
                self.handled.heard_of(process, &modules, follows);
                if asks && process != self.process {
                    self.introduce(false).await;
                }
            }
            Ok(Notice::Gone { process }) => self.handled.gone(process),
            Ok(Notice::HandledByModule { event, module }) => self.handled.by_module(event, &module),
            Ok(Notice::HandledByProcess { event, process }) => self.handled.by_process(event, process),
            // A newer version may say what this one does not know.
            Err(error) => tracing::debug!(%error, "a notice that cannot be read"),
        }
    }
}
