//! Stories of users, on every database.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a story that goes wrong stops where it does"
)]

use contracts::audit::By;
use contracts::port::PortError;
use contracts::users::{CreateProfileRefusal, NewProfile, Role, UserAccessChanged, UserRegistered};
use futures_util::future::{join, join_all};
use kernel::{EmailAddress, UserId};
use serde_json::json;
use testkit::{Bench, Engine, TestApp, TestUser, fresh_id};
use users::{Deps, Settings, Users};

struct People {
    bench: Bench,
    app: TestApp,
    module: Users,
}

fn profile(email: &str, username: Option<&str>, role: Role) -> NewProfile {
    NewProfile {
        id: UserId(fresh_id()),
        email: EmailAddress::parse(email).unwrap(),
        username: username.map(str::to_owned),
        name: Some("Ada".to_owned()),
        role,
        by: By::Operator,
    }
}

impl People {
    async fn open(engine: Engine) -> Self {
        let bench = Bench::new(engine).await;
        let module = Users::new(Deps { db: bench.db("users").await, settings: Settings::default() });
        let app = TestApp::start(module.clone(), bench.tokens.verifier()).await;
        Self { bench, app, module }
    }

    async fn join(&self, email: &str, role: Role) -> TestUser {
        let joined = self.module.port().create_profile(profile(email, None, role)).await.unwrap();
        self.bench.tokens.user(joined.id, role)
    }

    async fn patch(&self, by: &TestUser, id: UserId, body: serde_json::Value) -> testkit::Response {
        self.app.call("PATCH", &format!("/users/{id}")).by(by).json(body).send().await
    }
}

testkit::on_every_database! {
    async fn joining_is_idempotent_and_names_are_taken_once(engine: Engine) {
        let people = People::open(engine).await;
        let port = people.module.port();
        let ada = profile("ada@example.com", Some("Ada.L"), Role::Customer);
        let first = port.create_profile(ada.clone()).await.unwrap();
        assert_eq!(port.create_profile(ada).await.unwrap(), first);
        assert_eq!(first.username.as_deref(), Some("ada.l"));
        let refusal = |outcome: Result<_, PortError<CreateProfileRefusal>>| match outcome {
            Err(PortError::Refused(refusal)) => refusal,
            other => panic!("{other:?}"),
        };
        let email = port.create_profile(profile("ADA@example.com", None, Role::Customer)).await;
        assert_eq!(refusal(email), CreateProfileRefusal::EmailTaken);
        let username = port.create_profile(profile("eve@example.com", Some("ADA.l"), Role::Customer)).await;
        assert_eq!(refusal(username), CreateProfileRefusal::UsernameTaken);
        let plain = port.create_profile(profile("eve@example.com", Some("a@b"), Role::Customer)).await;
        assert_eq!(refusal(plain), CreateProfileRefusal::InvalidUsername);
        for login in ["ada@example.com", "Ada@Example.com", "ada.l", "ADA.L"] {
            assert_eq!(port.find_by_login(login).await.unwrap().map(|found| found.id), Some(first.id), "{login}");
        }
        for login in ["", "eve@example.com", "' or 1=1 --"] {
            assert_eq!(port.find_by_login(login).await.unwrap(), None, "{login}");
        }
        assert_eq!(people.app.published::<UserRegistered>().await.len(), 1);

        let rush = join_all((0..20).map(|_| port.create_profile(profile("rush@example.com", None, Role::Customer)))).await;
        assert_eq!(rush.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        people.app.assert_healthy().await;
    }

    async fn a_user_reads_and_changes_only_their_own_profile(engine: Engine) {
        let people = People::open(engine).await;
        let (ada, eve) = (people.join("ada@example.com", Role::Customer).await, people.join("eve@example.com", Role::Customer).await);
        let admin = people.join("boss@example.com", Role::Admin).await;
        people.app.get("/users/me").send().await.expect_problem(401, "unauthenticated");
        let me = people.app.get("/users/me").by(&ada).send().await.expect(200);
        for field in ["id", "email", "username", "name", "role", "created_at"] {
            assert!(me.json.get(field).is_some(), "{}", me.text);
        }
        people.app.get("/users/me").by(&ada).header("If-None-Match", me.header("etag")).send().await.expect(304);

        let patch = |body: serde_json::Value| people.app.call("PATCH", "/users/me").by(&ada).json(body);
        let changed = patch(json!({"name": "Ada L", "preferences": {"a": 1, "b": {"c": [2]}}})).send().await.expect(200);
        assert_eq!((&changed.json["name"], &changed.json["preferences"]), (&json!("Ada L"), &json!({"a": 1, "b": {"c": [2]}})));
        let merged = patch(json!({"preferences": {"a": null, "d": "x"}, "name": null})).send().await.expect(200);
        assert_eq!((&merged.json["name"], &merged.json["preferences"]), (&json!(null), &json!({"b": {"c": [2]}, "d": "x"})));
        patch(json!({"name": "x"})).header("If-Match", me.header("etag")).send().await.expect_problem(412, "precondition_failed");
        patch(json!({"name": ""})).send().await.expect_problem(400, "invalid_body");
        patch(json!({"preferences": {"a": "x".repeat(9_000)}})).send().await.expect_problem(400, "invalid_body");
        patch(json!({"preferences": [1]})).send().await.expect_problem(400, "invalid_body");
        let injected = patch(json!({"role": "admin", "email": "x@y.z", "id": fresh_id(), "active": false})).send().await.expect(200);
        assert_eq!((&injected.json["role"], &injected.json["email"], &injected.json["id"]), (&json!("customer"), &json!("ada@example.com"), &me.json["id"]));

        let path = format!("/users/{}", ada.id);
        people.app.get(&path).by(&ada).send().await.expect(200);
        people.app.get(&path).by(&admin).send().await.expect(200);
        people.app.get(&path).by(&eve).send().await.expect_problem(404, "not_found");
        people.app.get(&format!("/users/{}", fresh_id())).by(&admin).send().await.expect_problem(404, "not_found");
        people.app.get("/users/me").by(&people.bench.tokens.customer()).send().await.expect_problem(404, "not_found");
    }

    async fn a_customer_lists_only_themself_and_an_admin_everyone(engine: Engine) {
        let people = People::open(engine).await;
        let (ada, admin) = (people.join("ada@example.com", Role::Customer).await, people.join("boss@example.com", Role::Admin).await);
        let list = async |by: &TestUser, query: &str| {
            let page = people.app.get(&format!("/users{query}")).by(by).send().await.expect(200).json;
            let emails: Vec<String> = page["items"].as_array().unwrap().iter().map(|user| user["email"].as_str().unwrap().to_owned()).collect();
            (emails, page["next_cursor"].as_str().map(str::to_owned))
        };
        assert_eq!(list(&ada, "").await.0, ["ada@example.com"]);
        assert_eq!(list(&ada, "?limit=1").await.0, ["ada@example.com"]);
        assert!(list(&ada, "?email=boss@example.com").await.0.is_empty());
        assert_eq!(list(&admin, "").await.0, ["ada@example.com", "boss@example.com"]);
        assert_eq!(list(&admin, "?role=admin").await.0, ["boss@example.com"]);
        assert_eq!(list(&admin, "?email=ADA@example.com").await.0, ["ada@example.com"]);
        let (first, cursor) = list(&admin, "?limit=1").await;
        let (second, end) = list(&admin, &format!("?limit=1&cursor={}", cursor.unwrap())).await;
        assert_eq!((first, second, end), (vec!["ada@example.com".to_owned()], vec!["boss@example.com".to_owned()], None));
        people.app.get("/users").send().await.expect_problem(401, "unauthenticated");
        people.app.get("/users?role=king").by(&admin).send().await.expect_problem(400, "invalid_query");
    }

    async fn an_address_book_is_its_owners(engine: Engine) {
        let people = People::open(engine).await;
        let (ada, eve) = (people.join("ada@example.com", Role::Customer).await, people.join("eve@example.com", Role::Customer).await);
        let address = json!({"name": "Ada", "city": "London", "country": "GB"});
        let add = || people.app.post("/users/me/addresses").by(&ada).json(address.clone());
        let added = add().key("one").send().await.expect(201);
        let again = add().key("one").send().await.expect(201);
        assert_eq!((again.json == added.json, again.header("idempotency-replayed")), (true, "true"));
        assert_eq!(added.json["address"], address);
        people.app.post("/users/me/addresses").by(&ada).json(json!({})).send().await.expect_problem(400, "invalid_body");
        people.app.post("/users/me/addresses").json(address.clone()).send().await.expect_problem(401, "unauthenticated");
        let path = format!("/users/me/addresses/{}", added.json["id"].as_str().unwrap());
        let other = json!("12 St James's Square\nLondon");
        people.app.call("PUT", &path).by(&eve).json(other.clone()).send().await.expect_problem(404, "not_found");
        people.app.call("DELETE", &path).by(&eve).send().await.expect_problem(404, "not_found");
        assert_eq!(people.app.call("PUT", &path).by(&ada).json(other.clone()).send().await.expect(200).json["address"], other);
        let list = people.app.get("/users/me/addresses").by(&ada).send().await.expect(200).json;
        assert_eq!(list["items"].as_array().unwrap().len(), 1);
        assert!(people.app.get("/users/me/addresses").by(&eve).send().await.expect(200).json["items"].as_array().unwrap().is_empty());
        people.app.call("DELETE", &path).by(&ada).send().await.expect(204);
        people.app.call("DELETE", &path).by(&ada).send().await.expect_problem(404, "not_found");
        for _ in 0..50 {
            add().send().await.expect(201);
        }
        add().send().await.expect_problem(409, "too_many_addresses");
    }

    async fn admins_change_access_but_not_their_own(engine: Engine) {
        let people = People::open(engine).await;
        let (ada, admin) = (people.join("ada@example.com", Role::Customer).await, people.join("boss@example.com", Role::Admin).await);
        people.patch(&ada, ada.id, json!({"role": "admin"})).await.expect_problem(403, "forbidden");
        people.patch(&admin, admin.id, json!({"role": "customer"})).await.expect_problem(409, "own_access");
        people.patch(&admin, admin.id, json!({"active": false})).await.expect_problem(409, "own_access");
        people.patch(&admin, UserId(fresh_id()), json!({"active": false})).await.expect_problem(404, "not_found");
        people.patch(&admin, ada.id, json!({"role": "king"})).await.expect_problem(400, "invalid_body");
        let promoted = people.patch(&admin, ada.id, json!({"role": "admin"})).await.expect(200);
        assert_eq!(promoted.json["role"], "admin");
        people.patch(&admin, ada.id, json!({"role": "admin"})).await.expect(200);
        let told = people.app.published::<UserAccessChanged>().await;
        assert_eq!(told.iter().map(|event| (event.user_id, event.role, event.active)).collect::<Vec<_>>(), [(ada.id, Role::Admin, true)]);
        people.app.assert_healthy().await;
    }

    async fn two_admins_who_demote_each_other_leave_one(engine: Engine) {
        let people = People::open(engine).await;
        for round in 0..10 {
            let (one, two) = (people.join(&format!("a{round}@example.com"), Role::Admin).await, people.join(&format!("b{round}@example.com"), Role::Admin).await);
            let (first, second) = join(
                people.patch(&one, two.id, json!({"role": "customer"})),
                people.patch(&two, one.id, json!({"active": false})),
            ).await;
            let done = [first.status, second.status].iter().filter(|status| **status == 200).count();
            assert_eq!(done, 1, "{} {}", first.text, second.text);
            // The one who is left goes by hand, so that the next round begins with none.
            let left = if first.status == 200 { one } else { two };
            let db = people.bench.open("users").await;
            use sea_orm::{ConnectionTrait, Statement};
            let sql = Statement::from_sql_and_values(db.backend(), "UPDATE users SET role = 'customer' WHERE id = $1", [left.id.uuid().into()]);
            db.writer().execute_raw(sql).await.unwrap();
            db.close().await.unwrap();
        }
    }

    async fn users_go_in_and_out_as_csv(engine: Engine) {
        let people = People::open(engine).await;
        let admin = people.join("boss@example.com", Role::Admin).await;
        let import = |file: &'static str| people.app.post("/users/import").by(&admin).body("text/csv", file).send();
        let file = "email,username,name,role,active\nada@example.com,ada,Ada,customer,true\neve@example.com,ADA,Eve,,\nno address,,,,\nmax@example.com,,Max,king,\nboss@example.com,,,customer,\n";
        let first = import(file).await.expect(200).json;
        assert_eq!((first["rows_read"].as_i64(), first["created"].as_i64(), first["refused"].as_i64()), (Some(5), Some(1), Some(4)), "{first}");
        let lines: Vec<_> = first["refusals"].as_array().unwrap().iter().map(|refusal| refusal["line"].as_i64().unwrap()).collect();
        assert_eq!(lines, [4, 5, 3, 6]);
        assert_eq!(import(file).await.expect(200).json["unchanged"], 1);
        let updated = import("email,name,active\nada@example.com,Ada L,false\n").await.expect(200).json;
        assert_eq!(updated["updated"], 1);
        assert_eq!(people.app.published::<UserAccessChanged>().await.len(), 1);
        let export = people.app.get("/users/export").by(&admin).send().await.expect(200).text;
        assert_eq!(export, "email,username,name,role,active\nboss@example.com,,Ada,admin,true\nada@example.com,ada,Ada L,customer,false\n");
        people.app.get("/users/export").by(&people.bench.tokens.customer()).send().await.expect_problem(403, "forbidden");
        people.app.get("/users/export").send().await.expect_problem(401, "unauthenticated");
        people.app.assert_healthy().await;
    }

    async fn an_import_changes_nothing_of_its_senders_access_and_nothing_for_who_is_no_admin_any_more(engine: Engine) {
        let people = People::open(engine).await;
        let admin = people.join("boss@example.com", Role::Admin).await;
        let other = people.join("other@example.com", Role::Admin).await;
        let import = |by: &TestUser, file: &'static str| people.app.post("/users/import").by(by).body("text/csv", file).send();
        let own = import(&admin, "email,role,active\nboss@example.com,customer,\nboss@example.com,,false\n").await.expect(200).json;
        assert_eq!((&own["refused"], &own["updated"]), (&json!(2), &json!(0)), "{own}");
        let switched_off = import(&admin, "email,role,active\nother@example.com,customer,false\n").await.expect(200).json;
        assert_eq!(switched_off["updated"], 1);
        // The token says admin, the database does not.
        import(&other, "email,role,active\nother@example.com,admin,true\n").await.expect_problem(403, "forbidden");
    }

    async fn an_import_and_newcomers_may_want_the_same_names_at_once(engine: Engine) {
        let people = People::open(engine).await;
        let admin = people.join("boss@example.com", Role::Admin).await;
        let port = people.module.port();
        let names: Vec<_> = (0..20).map(|n| format!("name-{n}")).collect();
        let members: Vec<_> = (0..20).map(|n| profile(&format!("member{n}@example.com"), None, Role::Customer)).collect();
        join_all(members.into_iter().map(|member| port.create_profile(member))).await;
        let wanted = names.iter().enumerate().map(|(n, name)| format!("member{n}@example.com,{name}\n")).collect::<String>();
        let import = people.app.post("/users/import").by(&admin).body("text/csv", format!("email,username\n{wanted}")).send();
        let newcomers = names.iter().map(|name| port.create_profile(profile(&format!("{name}@example.org"), Some(name.as_str()), Role::Customer)));
        let (import, newcomers) = join(import, join_all(newcomers)).await;
        let imported = import.expect(200).json["updated"].as_u64().unwrap();
        let joined = newcomers.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(imported + u64::try_from(joined).unwrap(), 20, "each name has one bearer");
        people.app.assert_healthy().await;
    }

    async fn the_doctor_sees_a_shop_without_an_active_admin(engine: Engine) {
        use sea_orm::ConnectionTrait;
        let people = People::open(engine).await;
        people.app.assert_healthy().await;
        people.join("boss@example.com", Role::Admin).await;
        let db = people.bench.open("users").await;
        db.writer().execute_unprepared("UPDATE users SET active = FALSE").await.unwrap();
        assert!(db.writer().execute_unprepared("UPDATE users SET email = 'BOSS@example.com'").await.is_err());
        db.close().await.unwrap();
        let sick: Vec<_> = people.app.module().doctor().await.unwrap().into_iter().filter(|check| !check.holds()).map(|check| check.name).collect();
        assert_eq!(sick, ["users.an_admin_is_active"]);
    }
}
