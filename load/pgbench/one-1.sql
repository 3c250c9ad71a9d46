-- All rows of an order in one transaction of one statement: what no shop with separate schemas can reach.
--
-- Rows: the key (done), the reservation with its lines, the stock (conditional), the order with its lines, the first entry of its
-- timeline, its event. The price comes from the catalogue. `first`, `width`: the SKU is one of [first, first + width).
\set a :first + random(0, :width - 1)
\set customer random(1, 64)
WITH fresh AS MATERIALIZED (
    SELECT yardstick.new_id() AS id, yardstick.new_id() AS event_id, yardstick.now_ms() AS now_ms
), priced AS MATERIALIZED (
    SELECT 1 AS line_no, sku, id, name, price_minor FROM catalog.products WHERE active AND sku = 'LOAD-' || lpad((:a)::text, 7, '0')
), held AS (
    UPDATE inventory.stock SET reserved = reserved + 1, version = version + 1, updated_at_ms = (SELECT now_ms FROM fresh)
    WHERE sku = 'LOAD-' || lpad((:a)::text, 7, '0') AND on_hand - reserved >= 1 RETURNING id
), reserved AS (
    INSERT INTO inventory.reservations (id, order_id, state, created_at_ms) SELECT id, id, 'held', now_ms FROM fresh RETURNING id
), reserved_lines AS (
    INSERT INTO inventory.reservation_lines (reservation_id, stock_id, quantity) SELECT reserved.id, held.id, 1 FROM reserved, held
), keyed AS (
    INSERT INTO orders.idempotency_keys (principal, route, idempotency_key, request_hash, state, resource_id, outcome, created_at_ms, lease_until_ms)
    SELECT 'user:019357a0-7b2c-7c3e-9f00-5d1c2b3a' || lpad((:customer)::text, 4, '0'), 'POST /orders', id::text, repeat('0', 64), 'done', id, outcome, now_ms, now_ms + 3000
    FROM fresh, yardstick.answers WHERE lines = 1
), ordered AS (
    INSERT INTO orders.orders (id, number, user_id, status, payment_status, payment_due_at_ms, total_minor, currency, reservation_id, imported, created_at_ms, updated_at_ms)
    SELECT fresh.id, fresh.id::text, '019357a0-7b2c-7c3e-9f00-5d1c2b3a4f5e', 'pending', 'unpaid', now_ms + 1800000,
        (SELECT sum(price_minor) FROM priced), 'GBP', fresh.id, FALSE, now_ms, now_ms FROM fresh
), lines AS (
    INSERT INTO orders.order_lines (order_id, line_no, sku, product_id, name, quantity, unit_price_minor, line_total_minor)
    SELECT fresh.id, line_no, sku, priced.id, name, 1, price_minor, price_minor FROM fresh, priced
), told AS (
    INSERT INTO orders.order_timeline (order_id, kind, at_ms, actor_id, data)
    SELECT id, 'created', now_ms, '019357a0-7b2c-7c3e-9f00-5d1c2b3a4f5e', '{"number": "261121-7K3QF9XM2A", "total": {"amount": 2999, "currency": "GBP"}}' FROM fresh
)
INSERT INTO orders.outbox (event_id, event_type, aggregate_id, payload, trace_id, occurred_at_ms)
SELECT event_id, 'order.created', id, event, replace(id::text, '-', ''), now_ms FROM fresh, yardstick.answers WHERE lines = 1;
