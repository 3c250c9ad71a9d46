//! What a verifier remembers of tokens, and what it does not.

use std::sync::Arc;
use std::time::Duration;

use contracts::auth::{Revoked, SessionEnded};
use kernel::Clock;
use testkit::{TestClock, Tokens};

/// How long a token lives.
const LIFE: Duration = Duration::from_secs(900);

#[test]
fn a_token_that_was_recognised_once_is_recognised_again_only_while_it_holds() {
    let clock = Arc::new(TestClock::default());
    let tokens = Tokens::new(clock.clone());
    let (verifier, user, other) = (tokens.verifier(), tokens.customer(), tokens.customer());
    let claims = verifier.verify(&user.token).unwrap();
    assert_eq!((claims.sub, verifier.verify(&user.token).as_ref()), (user.id, Some(&claims)));
    // Its text is what was verified, to the last character.
    let mut forged = user.token.clone();
    forged.push('A');
    assert_eq!(verifier.verify(&forged), None);

    let ended =
        SessionEnded { session_id: claims.sid, user_id: user.id, tokens_expire_at: clock.now().plus(LIFE) };
    verifier.revoke(Revoked { sessions: vec![ended], users: Vec::new() });
    assert_eq!(verifier.verify(&user.token), None, "its session has ended");

    assert!(verifier.verify(&other.token).is_some());
    clock.advance(LIFE + Duration::from_secs(10));
    assert_eq!(verifier.verify(&other.token), None, "it has expired");
}

#[test]
fn what_a_retired_key_has_signed_is_refused_though_it_was_recognised_before() {
    let tokens = Tokens::new(Arc::new(TestClock::default()));
    let (verifier, user) = (tokens.verifier(), tokens.customer());
    assert!(verifier.verify(&user.token).is_some());
    verifier.set_keys(&[]);
    assert_eq!(verifier.verify(&user.token), None);
    // Another key of the same name.
    let other = Tokens::new(Arc::new(TestClock::default()));
    verifier.set_keys(&[other.public_key().clone()]);
    assert_eq!(verifier.verify(&user.token), None);
    assert!(verifier.verify(&other.customer().token).is_some());
}
