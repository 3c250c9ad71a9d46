//! What a user may do now, for the tokens that say so.

use std::time::Duration;

use contracts::users::Profile;
use kernel::{Timestamp, UserId};

use crate::Context;
use crate::error::AuthError;
use crate::store::user_revocations;

/// A profile of an active user, and an instant as of which, or of a later one, it is true.
pub(crate) struct Access {
    pub(crate) profile: Profile,
    pub(crate) as_of: Timestamp,
}

/// Asks `users`. `None` for nobody, and for an account that is switched off.
///
/// The instant is taken before the question: a change made after it, which the answer may miss, is later than the token,
/// and its event makes the token void. A change that was dated before it but became visible only after the answer is
/// met by the role that the session remembers (see [`crate::store::sessions::end_outdated`]). A change that was
/// handled here before is surely in the answer, so a token may be as of just after it, whatever the clock of the
/// process that made the change says.
pub(crate) async fn current_access(context: &Context, user_id: UserId) -> Result<Option<Access>, AuthError> {
    let void_until = user_revocations::issued_until(context.db.reader(), user_id).await?;
    let now = context.db.system().now();
    let as_of = void_until.map_or(now, |until| now.max(until.plus(Duration::from_millis(1))));
    let profile = context.users.profile(user_id).await?;
    Ok(profile.filter(|profile| profile.active).map(|profile| Access { profile, as_of }))
}
