//! Idempotency keys: `platform::idempotency` as rows.

use std::collections::BTreeMap;

use crate::world::{Answer, Id, LEASE_MS};

#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) resource: Id,
    /// None while it is open.
    pub(crate) outcome: Option<Answer>,
    pub(crate) lease_until: i64,
}

/// What `begin` finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begun {
    Opened(Id),
    TakenOver(Id),
    Stored(Answer),
    /// Open, and its owner may be at work.
    Busy,
}

#[derive(Debug, Default)]
pub(crate) struct Keys {
    pub(crate) rows: BTreeMap<Id, Row>,
}

impl Keys {
    pub(crate) fn begin(&mut self, key: Id, new_resource: Id, now: i64) -> Begun {
        let lease_until = now + LEASE_MS;
        match self.rows.get_mut(&key) {
            None => {
                self.rows.insert(key, Row { resource: new_resource, outcome: None, lease_until });
                Begun::Opened(new_resource)
            }
            Some(Row { outcome: Some(outcome), .. }) => Begun::Stored(*outcome),
            Some(row) if row.lease_until <= now => {
                row.lease_until = lease_until;
                Begun::TakenOver(row.resource)
            }
            Some(_) => Begun::Busy,
        }
    }

    fn open_row(&mut self, resource: Id) -> Option<&mut Row> {
        self.rows.values_mut().find(|row| row.resource == resource && row.outcome.is_none())
    }

    /// Whether the key of this resource is open.
    pub(crate) fn is_open(&self, resource: Id) -> bool {
        self.rows.values().any(|row| row.resource == resource && row.outcome.is_none())
    }

    /// False if it is not open any more: then the transaction must not commit.
    pub(crate) fn complete(&mut self, resource: Id, answer: Answer) -> bool {
        self.open_row(resource).map(|row| row.outcome = Some(answer)).is_some()
    }

    /// False if it is not open any more: then the transaction must not commit.
    pub(crate) fn hold(&mut self, resource: Id, lease_until: i64) -> bool {
        self.open_row(resource).map(|row| row.lease_until = lease_until).is_some()
    }

    /// False if it was not open.
    pub(crate) fn withdraw(&mut self, resource: Id) -> bool {
        let before = self.rows.len();
        self.rows.retain(|_, row| row.resource != resource || row.outcome.is_some());
        self.rows.len() < before
    }

    /// The lease of the open key of this resource.
    pub(crate) fn lease_of(&self, resource: Id) -> Option<i64> {
        let open = |row: &&Row| row.resource == resource && row.outcome.is_none();
        self.rows.values().find(open).map(|row| row.lease_until)
    }

    /// The lease of the open key of this resource, if it has run out.
    pub(crate) fn stale_lease(&self, resource: Id, now: i64) -> Option<i64> {
        let stale = |row: &&Row| row.resource == resource && row.outcome.is_none() && row.lease_until <= now;
        self.rows.values().find(stale).map(|row| row.lease_until)
    }

    /// Forgets it if it is open and nobody has held it since this lease was read.
    pub(crate) fn withdraw_stale(&mut self, resource: Id, seen: i64) {
        self.rows
            .retain(|_, row| row.resource != resource || row.outcome.is_some() || row.lease_until != seen);
    }

    /// The resources of the open keys whose lease has run out.
    pub(crate) fn stale(&self, now: i64) -> Vec<Id> {
        let stale = self.rows.values().filter(|row| row.outcome.is_none() && row.lease_until <= now);
        stale.map(|row| row.resource).collect()
    }
}
