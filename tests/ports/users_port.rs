//! The port of `users`.

use std::sync::Arc;

use contracts::audit::By;
use contracts::users::{CreateProfileRefusal, NewProfile, Profile, Role, UsersPort};
use futures_util::future::join_all;
use kernel::{EmailAddress, UserId};
use platform::db::Db;
use testkit::{Bench, Engine, fresh_id};
use users::{Deps, Settings, Users};

use crate::stage::{Form, Sides, assert_silent, refusal};

struct Stage {
    form: Form,
    port: Arc<dyn UsersPort>,
    db: Db,
    _bench: Bench,
}

const SIDES: Sides<dyn UsersPort> =
    Sides { module: "users", routes: remote::users::routes, client: remote::users::client };

impl Stage {
    async fn open(engine: Engine, form: Form) -> Self {
        let bench = Bench::new(engine).await;
        let db = bench.db("users").await;
        let module = Users::new(Deps { db: db.clone(), settings: Settings::default() });
        Self { form, port: form.of(&bench, &SIDES, module.port()), db, _bench: bench }
    }
}

fn new(email: &str, username: Option<&str>, name: Option<&str>) -> NewProfile {
    NewProfile {
        id: UserId(fresh_id()),
        email: EmailAddress::parse(email).unwrap(),
        username: username.map(str::to_owned),
        name: name.map(str::to_owned),
        role: Role::Customer,
        by: By::Operator,
    }
}

conformance! { Stage:
    a_profile_is_created_once,
    a_profile_is_found_by_what_people_type,
    nobody_is_found_behind_an_unknown_name,
    names_that_are_taken_or_wrong_are_refused,
    one_of_a_crowd_gets_a_name,
    without_its_database_the_module_is_silent,
}

async fn a_profile_is_created_once(stage: Stage) {
    let wanted = NewProfile {
        role: Role::Admin,
        ..new("ada@example.com", Some(" Ada.L "), Some("Ada Łovelace 🦉\""))
    };
    let created = stage.port.create_profile(wanted.clone()).await.unwrap();
    let expected = Profile {
        id: wanted.id,
        email: wanted.email.clone(),
        username: Some("ada.l".to_owned()),
        name: wanted.name.clone(),
        role: Role::Admin,
        active: true,
        created_at: created.created_at,
    };
    assert_eq!(created, expected);
    // The id decides: what else is said the second time changes nothing.
    let again = NewProfile { name: None, ..wanted.clone() };
    assert_eq!(stage.port.create_profile(again).await.unwrap(), created);
    assert_eq!(stage.port.profile(wanted.id).await.unwrap(), Some(created));
    let bare = stage.port.create_profile(new("bob@example.com", None, None)).await.unwrap();
    assert_eq!((bare.username, bare.name, bare.role), (None, None, Role::Customer));
}

async fn a_profile_is_found_by_what_people_type(stage: Stage) {
    let ada = stage.port.create_profile(new("ada@example.com", Some("ada"), None)).await.unwrap();
    stage.port.create_profile(new("bob@example.com", Some("bob"), None)).await.unwrap();
    for login in ["ada@example.com", "ADA@example.COM", " ada@example.com ", "ada", "Ada"] {
        assert_eq!(stage.port.find_by_login(login).await.unwrap(), Some(ada.clone()), "{login}");
    }
}

async fn nobody_is_found_behind_an_unknown_name(stage: Stage) {
    stage.port.create_profile(new("ada@example.com", Some("ada"), None)).await.unwrap();
    let long = "x".repeat(100_000);
    for login in
        ["", " ", "bob", "bob@example.com", "ada%", "a_a", "ada\0", "\u{202e}ada", "{\"ada\":1}", &long]
    {
        assert_eq!(stage.port.find_by_login(login).await.unwrap(), None, "{login:?}");
    }
    assert_eq!(stage.port.profile(UserId(fresh_id())).await.unwrap(), None);
}

async fn names_that_are_taken_or_wrong_are_refused(stage: Stage) {
    stage.port.create_profile(new("ada@example.com", Some("ada"), None)).await.unwrap();
    let (fits, too_long) = ("é".repeat(200), "é".repeat(201));
    let cases = [
        (new("ADA@example.com", Some("other"), None), CreateProfileRefusal::EmailTaken),
        (new("other@example.com", Some("ADA"), None), CreateProfileRefusal::UsernameTaken),
        (new("other@example.com", Some("no spaces"), None), CreateProfileRefusal::InvalidUsername),
        (new("other@example.com", Some(""), None), CreateProfileRefusal::InvalidUsername),
        (new("other@example.com", None, Some("")), CreateProfileRefusal::InvalidName),
        (new("other@example.com", None, Some("a\u{0}b")), CreateProfileRefusal::InvalidName),
        (new("other@example.com", None, Some(&too_long)), CreateProfileRefusal::InvalidName),
    ];
    for (wanted, why) in cases {
        assert_eq!(refusal(stage.port.create_profile(wanted.clone()).await), why, "{wanted:?}");
        // A refusal has no effect, so it is the same again.
        assert_eq!(refusal(stage.port.create_profile(wanted.clone()).await), why, "{wanted:?}");
        assert_eq!(stage.port.profile(wanted.id).await.unwrap(), None);
    }
    stage.port.create_profile(new("other@example.com", Some(&"x".repeat(64)), Some(&fits))).await.unwrap();
}

async fn one_of_a_crowd_gets_a_name(stage: Stage) {
    let crowd = (0..stage.form.crowd())
        .map(|n| stage.port.create_profile(new(&format!("ada{n}@example.com"), Some("ada"), None)));
    let (won, lost): (Vec<_>, Vec<_>) = join_all(crowd).await.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    for lost in lost {
        assert_eq!(refusal(lost), CreateProfileRefusal::UsernameTaken);
    }
}

async fn without_its_database_the_module_is_silent(stage: Stage) {
    stage.db.close().await.unwrap();
    assert_silent("users", stage.port.create_profile(new("ada@example.com", None, None)).await);
    assert_silent("users", stage.port.find_by_login("ada").await);
    assert_silent("users", stage.port.profile(UserId(fresh_id())).await);
    // What is wrong in itself is refused before anyone is asked.
    let wrong = stage.port.create_profile(new("ada@example.com", Some("!"), None)).await;
    assert_eq!(refusal(wrong), CreateProfileRefusal::InvalidUsername);
}
