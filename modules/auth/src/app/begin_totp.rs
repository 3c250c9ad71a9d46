//! A user begins to set up an authenticator app.

use kernel::UserId;
use rand::RngCore;
use rand::rngs::OsRng;

use crate::Context;
use crate::app::confirm_password::confirm_password;
use crate::app::open_session::Device;
use crate::domain::password::Password;
use crate::domain::totp::{base32, otpauth_uri};
use crate::error::AuthError;
use crate::store::second_factors;

/// As long as the output of its hash (RFC 4226, 4, R6).
const SECRET_BYTES: usize = 20;

/// What the app is told. Not `Debug`: it is a secret.
pub(crate) struct Enrolment {
    pub(crate) secret: String,
    pub(crate) uri: String,
}

/// Nothing is in force before a code of it was shown.
pub(crate) async fn begin_totp(
    context: &Context,
    user_id: UserId,
    password: Password,
    device: &Device,
) -> Result<Enrolment, AuthError> {
    let (profile, _) = confirm_password(context, user_id, password, device).await?;
    let mut secret = [0_u8; SECRET_BYTES];
    OsRng.try_fill_bytes(&mut secret)?;
    let sealed = context.sealer.seal(user_id, &secret)?;
    if !second_factors::begin(context.db.writer(), user_id, sealed, context.db.system().now()).await? {
        return Err(AuthError::SecondFactorInForce);
    }
    let secret = base32(&secret);
    Ok(Enrolment { uri: otpauth_uri(profile.email.as_str(), &secret), secret })
}
