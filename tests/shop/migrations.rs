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
                let steps = migrations::status(db.module(), db.reader()).await.unwrap();
                (steps.len(), steps.iter().filter(|(_, applied)| *applied).count())
            };
            migrations::up(db.module(), db.orm()).await.unwrap();
            let (steps, done) = applied().await;
            assert!(steps > 1 && done == steps, "{}: {done} of {steps}", db.module());
            migrations::down(db.module(), db.orm(), None).await.unwrap();
            assert_eq!(applied().await, (steps, 0), "{}", db.module());
            migrations::up(db.module(), db.orm()).await.unwrap();
            assert_eq!(applied().await, (steps, steps), "{}", db.module());
            db.close().await.unwrap();
        }
    }

    async fn processes_that_start_at_once_all_find_a_current_schema(engine: Engine) {
        let place = Place::new(engine).await;
        let mut settings = place.settings();
        settings.database.max_connections = 1;
        settings.only = vec!["orders"];
        let start = || async {
            let databases = Databases::open(&settings, &System::real()).await.unwrap();
            for db in databases.iter() {
                migrations::up(db.module(), db.orm()).await.unwrap();
                let steps = migrations::status(db.module(), db.reader()).await.unwrap();
                assert!(steps.iter().all(|(_, applied)| *applied), "{}: {steps:?}", db.module());
                db.close().await.unwrap();
            }
        };
        futures_util::future::join_all((0..10).map(|_| start())).await;
    }

    async fn asking_for_the_state_of_a_schema_changes_nothing(engine: Engine) {
        let bench = testkit::Bench::new(engine).await;
        let db = bench.open("orders").await;
        for _ in 0..2 {
            let steps = migrations::status("orders", db.reader()).await.unwrap();
            assert!(!steps.is_empty() && steps.iter().all(|(_, applied)| !applied), "{steps:?}");
            let table = sea_orm::ConnectionTrait::execute_unprepared(db.writer(), "SELECT * FROM seaql_migrations").await;
            assert!(table.is_err());
        }
    }
}
