//! Creates an account: the credential here, the profile in `users`.

use contracts::audit::By;
use contracts::port::{NoRefusal, PortError};
use contracts::users::{CreateProfileRefusal, NewProfile, Profile, Role};
use kernel::{EmailAddress, UserId};

use crate::Context;
use crate::domain::login_name::LoginName;
use crate::domain::password::Password;
use crate::error::AccountError;
use crate::store::credentials;

/// An account that is to be created.
#[derive(Clone, PartialEq, Eq)]
pub struct NewAccount {
    pub email: EmailAddress,
    /// A second name to log in with.
    pub username: Option<String>,
    /// What to call the person.
    pub name: Option<String>,
    /// 8 to 128 characters.
    pub password: String,
    pub role: Role,
}

/// Shows the role only: the rest is secret or personal.
impl std::fmt::Debug for NewAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewAccount").field("role", &self.role).finish_non_exhaustive()
    }
}

/// A created account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountCreated {
    pub user: Profile,
}

/// `by` is who creates it; none: whoever it is for. Not idempotent by itself: the email address is the key, and a second call finds it taken.
pub(crate) async fn create_account(
    context: &Context,
    new: NewAccount,
    by: Option<By>,
) -> Result<AccountCreated, AccountError> {
    let password = Password::choose(new.password)?;
    // First, so that the answer takes as long whether the names are taken or not.
    let password_hash = context.hasher.hash(password).await?;
    // A look ahead; the word that counts is that of `create_profile` below.
    if is_taken(context, new.email.as_str()).await? {
        return Err(AccountError::EmailTaken);
    }
    if let Some(username) = &new.username
        && is_taken(context, username).await?
    {
        return Err(AccountError::UsernameTaken);
    }
    let system = context.db.system();
    let user_id = UserId(system.id());

    // The credential comes first. If the power fails after this line, it stays behind without a profile; that is
    // harmless, because a login starts from the profile and its id was given to nobody. The other way round, a profile
    // without a password would keep its email address taken for ever.
    credentials::insert(context.db.writer(), user_id, password_hash, system.now()).await?;
    let profile = NewProfile {
        id: user_id,
        email: new.email,
        username: new.username,
        name: new.name,
        role: new.role,
        by: by.unwrap_or(By::User { user_id }),
    };
    match context.users.create_profile(profile).await {
        Ok(user) => {
            tracing::info!(user.id = %user.id, user.role = user.role.as_str(), "created an account");
            Ok(AccountCreated { user })
        }
        Err(PortError::Refused(refusal)) => {
            // Nobody can use it; if this fails too, it is such a harmless one as above.
            credentials::delete(context.db.writer(), user_id).await?;
            Err(refusal.into())
        }
        // The profile may exist, so the credential must stay.
        Err(PortError::Unavailable { module, source }) => {
            Err(AccountError::Users(PortError::<NoRefusal>::Unavailable { module, source }))
        }
    }
}

async fn is_taken(context: &Context, login: &str) -> Result<bool, AccountError> {
    match LoginName::read(login).plausible() {
        Some(name) => Ok(context.users.find_by_login(name).await.map_err(AccountError::Users)?.is_some()),
        None => Ok(false),
    }
}

impl From<CreateProfileRefusal> for AccountError {
    fn from(refusal: CreateProfileRefusal) -> Self {
        match refusal {
            CreateProfileRefusal::EmailTaken => AccountError::EmailTaken,
            CreateProfileRefusal::UsernameTaken => AccountError::UsernameTaken,
            CreateProfileRefusal::InvalidUsername => AccountError::InvalidUsername,
            CreateProfileRefusal::InvalidName => AccountError::InvalidName,
        }
    }
}
