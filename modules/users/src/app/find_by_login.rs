//! The profile behind what someone typed into a login form.

use kernel::EmailAddress;

use crate::Context;
use crate::domain::names::parse_username;
use crate::error::UsersError;
use crate::store::users;

/// One look-up by a unique index: a username has no `@`, an email address has one. What can be neither is nobody's.
pub(crate) async fn find_by_login(
    context: &Context,
    login: &str,
) -> Result<Option<users::Model>, UsersError> {
    let reader = context.db.reader();
    Ok(match (EmailAddress::parse(login), parse_username(login)) {
        (Ok(email), _) => users::find_by_email(reader, email.as_str()).await?,
        (Err(_), Ok(username)) => users::find_by_username(reader, &username).await?,
        (Err(_), Err(_)) => None,
    })
}
