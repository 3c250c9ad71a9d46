//! Events: facts in the past tense that a module publishes with its own commit and others react to.

use kernel::{EventId, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A fact that a module publishes. Fields are only ever added, so that an older consumer can read a newer event.
pub trait Event: Serialize + DeserializeOwned + Send + Sync {
    /// The stable name on the wire, `module_or_resource.past_tense`.
    const TYPE: &'static str;

    /// What the event is about. Events of one aggregate arrive in the order in which they were committed.
    fn aggregate_id(&self) -> Uuid;
}

/// An event on its way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// Consumers remember it to handle the event once.
    pub id: EventId,
    /// [`Event::TYPE`].
    pub event_type: String,
    /// [`Event::aggregate_id`].
    pub aggregate_id: Uuid,
    /// When it was committed.
    pub occurred_at: Timestamp,
    /// The trace of the request that caused it.
    pub trace_id: Option<String>,
    /// The event itself.
    pub payload: serde_json::Value,
}

impl Envelope {
    /// The event, if it is of this type; an error if it is but cannot be read.
    pub fn open<E: Event>(&self) -> Option<Result<E, serde_json::Error>> {
        (self.event_type == E::TYPE).then(|| serde_json::from_value(self.payload.clone()))
    }
}
