//! Schemas go up, down and up again.

use platform::system::System;
use souk::wiring::Databases;
use testkit::Engine;

use crate::support::Place;

testkit::on_every_database! {
    async fn every_schema_goes_up_down_and_up_again(engine: Engine) {
        let place = Place::new(engine).await;
        let databases = Databases::open(&place.settings(), &System::real()).await.unwrap();
        for db in databases.iter() {
            let applied = || async {
                let steps = migrations::status(db.module(), db.writer()).await.unwrap();
                (steps.len(), steps.iter().filter(|(_, applied)| *applied).count())
            };
            migrations::up(db.module(), db.writer()).await.unwrap();
            let (steps, done) = applied().await;
            assert!(steps > 1 && done == steps, "{}: {done} of {steps}", db.module());
            migrations::down(db.module(), db.writer(), None).await.unwrap();
            assert_eq!(applied().await, (steps, 0), "{}", db.module());
            migrations::up(db.module(), db.writer()).await.unwrap();
            assert_eq!(applied().await, (steps, steps), "{}", db.module());
            db.close().await.unwrap();
        }
    }
}
