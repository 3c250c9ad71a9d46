//! The schema of `notifications`.

use platform::migration::SqlMigration;
use sea_orm_migration::MigrationTrait;

/// In the order in which they are applied.
pub(crate) fn steps() -> Vec<Box<dyn MigrationTrait>> {
    vec![Box::new(SqlMigration {
        name: "m0002_notifications",
        up: "
            CREATE TABLE notifications (
                id {uuid} NOT NULL PRIMARY KEY,
                user_id {uuid} NOT NULL,
                channel TEXT NOT NULL CHECK (channel IN ('email')),
                template TEXT NOT NULL,
                recipient TEXT NOT NULL,
                subject TEXT NOT NULL,
                body TEXT NOT NULL,
                status TEXT NOT NULL CHECK (status IN ('queued', 'sent', 'failed')),
                attempts {bigint} NOT NULL DEFAULT 0 CHECK (attempts >= 0),
                next_attempt_at_ms {bigint} NOT NULL,
                last_error TEXT,
                created_at_ms {bigint} NOT NULL,
                sent_at_ms {bigint},
                CHECK ((status = 'sent') = (sent_at_ms IS NOT NULL))
            ) {strict};
            CREATE INDEX notifications_of_user ON notifications (user_id, id);
            CREATE INDEX notifications_due ON notifications (next_attempt_at_ms) WHERE status = 'queued';

            CREATE TABLE webhooks (
                id {uuid} NOT NULL PRIMARY KEY,
                url TEXT NOT NULL CHECK (length(url) BETWEEN 1 AND 2000),
                events TEXT NOT NULL,
                secret TEXT NOT NULL,
                configured {bool} NOT NULL,
                created_at_ms {bigint} NOT NULL
            ) {strict};
            CREATE UNIQUE INDEX webhooks_configured ON webhooks (url) WHERE configured;

            CREATE TABLE deliveries (
                id {uuid} NOT NULL PRIMARY KEY,
                webhook_id {uuid} NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
                event_id {uuid} NOT NULL,
                event TEXT NOT NULL,
                payload {json} NOT NULL,
                status TEXT NOT NULL CHECK (status IN ('pending', 'delivered', 'failed')),
                attempts {bigint} NOT NULL DEFAULT 0 CHECK (attempts >= 0),
                created_at_ms {bigint} NOT NULL,
                delivered_at_ms {bigint},
                UNIQUE (webhook_id, event_id),
                CHECK ((status = 'delivered') = (delivered_at_ms IS NOT NULL))
            ) {strict};
            CREATE INDEX deliveries_of_webhook ON deliveries (webhook_id, id);
        ",
        down: "DROP TABLE deliveries; DROP TABLE webhooks; DROP TABLE notifications;",
    })]
}
