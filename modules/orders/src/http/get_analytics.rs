use std::collections::BTreeMap;

use actix_web::{HttpResponse, get, web};
use kernel::{Money, Sku, Timestamp};
use platform::access::Admin;
use platform::http::{Query, ok};
use platform::problem::{Problem, ProblemBody};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Context;
use crate::app::analyse::{self, Analysis, analyse};
use crate::http::TAG;
use crate::http::list_orders::check_span;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct GetAnalytics {
    /// Orders placed then or later; a plain date is its first instant in UTC.
    #[param(value_type = Option<String>, example = "2026-03-01")]
    from: Option<Timestamp>,
    /// Orders placed before then.
    #[param(value_type = Option<String>, example = "2026-04-01")]
    to: Option<Timestamp>,
    /// What the points of the series stand for; `day` unless told.
    #[param(inline)]
    group_by: Option<GroupBy>,
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GroupBy {
    Day,
    Month,
    Country,
}

/// What was sold.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Analytics {
    /// Orders that are not cancelled.
    #[schema(example = 12466)]
    orders: i64,
    /// The totals of those orders less what was refunded.
    revenue: Money,
    /// Revenue by order, rounded down to the minor unit.
    average_order_value: Money,
    /// The orders of each status, cancelled ones too.
    #[schema(example = json!({"pending": 3, "confirmed": 0, "processing": 1, "shipped": 0, "delivered": 12462, "cancelled": 7}))]
    by_status: BTreeMap<String, i64>,
    /// The ten products with the most revenue, before refunds.
    top_products: Vec<TopProduct>,
    /// Days or months with orders, oldest first; or countries (at most 500), the most revenue first, `unknown` where an order
    /// has none.
    series: Vec<Point>,
}

/// What was sold of one product.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TopProduct {
    sku: Sku,
    #[schema(example = "Blue mug")]
    name: String,
    #[schema(example = 40)]
    quantity: i64,
    revenue: Money,
}

/// One point of the series.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Point {
    #[schema(example = "2026-03-01")]
    key: String,
    /// Orders that are not cancelled.
    #[schema(example = 31)]
    orders: i64,
    revenue: Money,
}

impl From<Analysis> for Analytics {
    fn from(analysis: Analysis) -> Self {
        let product = |sum: analyse::TopProduct| TopProduct {
            sku: sum.sku,
            name: sum.name,
            quantity: sum.quantity,
            revenue: sum.revenue,
        };
        let point =
            |point: analyse::Point| Point { key: point.key, orders: point.orders, revenue: point.revenue };
        Self {
            orders: analysis.orders,
            revenue: analysis.revenue,
            average_order_value: analysis.average_order_value,
            by_status: analysis.by_status.into_iter().map(|(status, n)| (status.to_owned(), n)).collect(),
            top_products: analysis.top_products.into_iter().map(product).collect(),
            series: analysis.series.into_iter().map(point).collect(),
        }
    }
}

/// What the shop has sold
///
/// Counts orders in the shop's currency. Revenue is that of every order that is not cancelled, less refunds.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = ["admin"]), ("api_key" = ["admin", "orders:read"])),
    params(GetAnalytics),
    responses(
        (status = 200, body = Analytics),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "An unknown or wrong parameter"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "Not an admin, or an API key without the scope `orders:read`"),
    ),
)]
#[get("/orders/analytics")]
pub(crate) async fn get_analytics(
    context: web::Data<Context>,
    _admin: Admin,
    Query(query): Query<GetAnalytics>,
) -> Result<HttpResponse, Problem> {
    check_span(query.from, query.to)?;
    let group_by = match query.group_by {
        None | Some(GroupBy::Day) => analyse::GroupBy::Day,
        Some(GroupBy::Month) => analyse::GroupBy::Month,
        Some(GroupBy::Country) => analyse::GroupBy::Country,
    };
    Ok(ok(&Analytics::from(analyse(&context, query.from, query.to, group_by).await?)))
}
