//! What the world would be like if one safeguard were missing. The check must find each of these.

/// The safeguards that are missing; none, of the shop as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Flaws {
    /// Stock is held without the condition that there is enough.
    pub(crate) sells_what_is_not_there: bool,
    /// Releasing an id that holds nothing leaves no trace of it.
    pub(crate) burns_no_ids: bool,
    /// What was refused for want of stock is not released: a twin of the call may hold stock later.
    pub(crate) releases_no_refused: bool,
    /// Events take effect each time that they come.
    pub(crate) forgets_its_inbox: bool,
    /// An event is sent after the commit, not written in it.
    pub(crate) sends_events_after_the_commit: bool,
    /// An order is written though its key is not open any more.
    pub(crate) writes_orders_without_their_key: bool,
    /// The answer is stored under the key in a transaction after that of the order.
    pub(crate) answers_in_another_transaction: bool,
    /// Undoing releases the stock first and closes the intent afterwards.
    pub(crate) releases_before_closing: bool,
    /// Undoing does not write down what is to be released.
    pub(crate) keeps_no_list_of_abandoned: bool,
    /// A payment may begin whatever the order is doing.
    pub(crate) lets_every_payment_begin: bool,
    /// Giving up a payment leaves no trace of its id.
    pub(crate) forgets_given_up_payments: bool,
    /// An order may be cancelled while a payment is under way.
    pub(crate) cancels_what_is_being_paid: bool,
    /// A wish to pay is written down again though it is a payment already.
    pub(crate) remembers_what_was_paid: bool,
    /// Whoever opened a key writes the wish down without a look at what has become of the key.
    pub(crate) remembers_under_any_lease: bool,
    /// An intent becomes a payment even if it is being taken back.
    pub(crate) takes_every_intent: bool,
    /// A call to the provider is repeated under a new key.
    pub(crate) repeats_under_a_new_key: bool,
    /// Abandoning a key that the provider has not seen leaves no fence.
    pub(crate) abandons_without_a_fence: bool,
    /// An attempt is settled whether it is open or not.
    pub(crate) settles_twice: bool,
    /// Refunds are allowed by what is left, but nothing is set aside for those under way.
    pub(crate) sets_no_refunds_aside: bool,
    /// The key of a movement is withdrawn while its attempt is open.
    pub(crate) drops_keys_of_open_attempts: bool,
}
