//! The stories. Each makes its own customers and goods, reads nothing that others change, and knows nothing of how its
//! shop runs.

mod accounts;
mod audit;
mod buying;
mod carts;
mod catalogue;
mod contract;
mod mails;
mod money;
mod orders;
mod races;
pub mod restarts;
mod tables;

use std::pin::Pin;

use deployments::Shop;

/// One story.
pub struct Journey {
    pub name: &'static str,
    pub story: for<'a> fn(&'a Shop) -> Pin<Box<dyn Future<Output = ()> + 'a>>,
}

macro_rules! journeys {
    ($($file:ident: $($name:ident),+;)+) => {
        &[$($(Journey { name: stringify!($name), story: |shop| Box::pin($file::$name(shop)) }),+),+]
    };
}

/// Every story; the long ones come first.
pub const JOURNEYS: &[Journey] = journeys! {
    races:
        two_hundred_buyers_at_once_share_fifty_pieces,
        one_order_posted_a_hundred_times_at_once_is_one_order,
        one_cart_checked_out_a_hundred_times_at_once_is_one_order,
        fifty_refunds_at_once_never_give_back_more_than_was_paid,
        one_order_paid_fifty_times_at_once_is_paid_once;
    buying:
        a_customer_fills_a_cart_pays_and_is_refunded,
        an_order_is_shipped_and_its_stock_leaves,
        the_client_does_not_set_prices,
        what_is_another_customers_does_not_exist;
    accounts:
        a_newcomer_registers_logs_in_refreshes_and_logs_out,
        a_session_that_was_ended_is_ended_in_every_module,
        a_new_role_reaches_every_module,
        an_account_that_is_switched_off_is_out,
        a_profile_and_its_addresses_are_their_owners;
    audit:
        the_audit_log_names_who_did_what;
    catalogue:
        a_guest_browses_searches_and_pages,
        what_has_changed_meanwhile_is_not_overwritten,
        an_admin_changes_a_price_and_carts_and_orders_follow,
        a_retired_product_stays_on_the_orders_that_have_it,
        stock_is_a_ledger;
    carts:
        a_guests_cart_joins_the_customers_once,
        a_cart_is_filled_changed_and_emptied,
        a_checkout_keeps_to_the_expected_total;
    orders:
        an_order_is_placed_once_a_key,
        what_may_not_be_ordered_is_refused_with_its_place,
        an_order_follows_its_states_and_no_others,
        a_cancelled_order_that_is_taken_up_again_takes_its_stock_again,
        a_customer_lists_their_own_orders_page_by_page;
    money:
        a_declined_card_leaves_the_order_to_be_paid_again,
        a_charge_whose_answer_is_lost_or_late_is_made_once,
        money_is_held_captured_in_part_and_given_back,
        money_that_is_held_is_let_go,
        only_a_signed_word_of_the_provider_counts;
    mails:
        each_step_of_a_purchase_is_told_by_mail,
        who_forgot_a_password_gets_a_letter,
        an_endpoint_is_told_of_every_event;
    tables:
        products_and_stock_go_in_and_out_as_tables,
        users_go_in_and_out_as_a_table,
        past_orders_go_in_and_out_as_a_table_and_are_counted;
    contract:
        every_error_is_a_problem,
        strangers_and_customers_are_kept_from_what_is_not_theirs,
        a_path_means_the_same_with_a_slash_and_under_its_alias,
        a_head_is_answered_as_a_get_without_its_body,
        every_module_documents_itself,
        the_shop_and_every_module_tell_their_health;
};
