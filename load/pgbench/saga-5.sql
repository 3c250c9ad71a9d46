-- The same rows in as many commits as a placement makes before it answers, which is three; each commit is one statement, and so one
-- round trip, which is fewer than the shop's. The price is one more statement, that writes nothing.
--
-- 1. orders: the key, open. 2. inventory: the reservation, its lines, the stock. 3. orders: the order, its lines, the first entry of its
-- timeline, its event, and the key, done.
\set a :first + random(0, :width - 1)
\set b :first + :width + random(0, :width - 1)
\set c :first + 2 * :width + random(0, :width - 1)
\set d :first + 3 * :width + random(0, :width - 1)
\set e :first + 4 * :width + random(0, :width - 1)
\set customer random(1, 64)
INSERT INTO orders.idempotency_keys (principal, route, idempotency_key, request_hash, state, resource_id, created_at_ms, lease_until_ms)
SELECT 'user:019357a0-7b2c-7c3e-9f00-5d1c2b3a' || lpad((:customer)::text, 4, '0'), 'POST /orders', id::text, repeat('0', 64), 'open', id, now_ms, now_ms + 3000
FROM (SELECT yardstick.new_id() AS id, yardstick.now_ms() AS now_ms OFFSET 0) AS fresh
ON CONFLICT (principal, route, idempotency_key) DO NOTHING RETURNING resource_id AS order_id, principal \gset
SELECT sum(price_minor) AS total FROM catalog.products WHERE active AND sku IN (
    SELECT 'LOAD-' || lpad(n::text, 7, '0') FROM unnest(ARRAY[:a::bigint, :b::bigint, :c::bigint, :d::bigint, :e::bigint]) WITH ORDINALITY AS picked (n, line_no)) \gset
WITH wanted AS (
    SELECT 'LOAD-' || lpad(n::text, 7, '0') AS sku
    FROM unnest(ARRAY[:a::bigint, :b::bigint, :c::bigint, :d::bigint, :e::bigint]) WITH ORDINALITY AS picked (n, line_no)
), taken AS MATERIALIZED (
    SELECT id FROM inventory.stock WHERE sku IN (SELECT sku FROM wanted) AND on_hand - reserved >= 1 ORDER BY sku FOR UPDATE
), held AS (
    UPDATE inventory.stock s SET reserved = reserved + 1, version = version + 1, updated_at_ms = yardstick.now_ms()
    FROM taken WHERE s.id = taken.id RETURNING s.id
), reserved AS (
    INSERT INTO inventory.reservations (id, order_id, state, created_at_ms)
    VALUES (:order_id::uuid, :order_id::uuid, 'held', yardstick.now_ms()) ON CONFLICT (id) DO NOTHING RETURNING id
)
INSERT INTO inventory.reservation_lines (reservation_id, stock_id, quantity) SELECT reserved.id, held.id, 1 FROM reserved, held;
WITH wanted AS (
    SELECT line_no, 'LOAD-' || lpad(n::text, 7, '0') AS sku
    FROM unnest(ARRAY[:a::bigint, :b::bigint, :c::bigint, :d::bigint, :e::bigint]) WITH ORDINALITY AS picked (n, line_no)
), fresh AS MATERIALIZED (
    SELECT yardstick.now_ms() AS now_ms, yardstick.new_id() AS event_id
), ordered AS (
    INSERT INTO orders.orders (id, number, user_id, status, payment_status, payment_due_at_ms, total_minor, currency, reservation_id, imported, created_at_ms, updated_at_ms)
    SELECT :order_id::uuid, :order_id, '019357a0-7b2c-7c3e-9f00-5d1c2b3a4f5e'::uuid, 'pending', 'unpaid', now_ms + 1800000, :total::bigint, 'GBP', :order_id::uuid, FALSE, now_ms, now_ms FROM fresh
    ON CONFLICT (cart_id) DO NOTHING
), lines AS (
    -- The names are known by now; who orders does not read the catalogue again.
    INSERT INTO orders.order_lines (order_id, line_no, sku, product_id, name, quantity, unit_price_minor, line_total_minor)
    SELECT :order_id::uuid, line_no, sku, '019357a0-7b2c-7c3e-9f00-5d1c2b3a4f5e', 'Lamp S001 no 0000001', 1, 2999, 2999 FROM wanted
), told AS (
    INSERT INTO orders.order_timeline (order_id, kind, at_ms, actor_id, data)
    SELECT :order_id::uuid, 'created', now_ms, '019357a0-7b2c-7c3e-9f00-5d1c2b3a4f5e'::uuid, '{"number": "261121-7K3QF9XM2A", "total": {"amount": 2999, "currency": "GBP"}}' FROM fresh
), emitted AS (
    INSERT INTO orders.outbox (event_id, event_type, aggregate_id, payload, trace_id, occurred_at_ms)
    SELECT event_id, 'order.created', :order_id::uuid, event, repeat('0', 32), now_ms FROM fresh, yardstick.answers WHERE lines = 5
)
UPDATE orders.idempotency_keys SET state = 'done', outcome = (SELECT outcome FROM yardstick.answers WHERE lines = 5)
WHERE principal = :principal AND route = 'POST /orders' AND idempotency_key = :order_id AND state = 'open' AND resource_id = :order_id::uuid;
