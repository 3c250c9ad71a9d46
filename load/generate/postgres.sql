-- A shop with a past: products with stock, customers, orders with everything that orders leave behind, straight into the schemas of
-- the modules. `souk migrate up` has made them; they are empty.
--
--   psql -v products=1000 -v orders=1000 -f load/generate/postgres.sql
--
-- What is written is consistent: `souk doctor` has nothing to say about it. Nothing is random: the same numbers give the same
-- shop, apart from the time of the run. What is not written: payments, letters, events and keys (the shop deletes the last two
-- after a week).
--
-- Of twenty orders two are pending, one is being packed, one was cancelled, and sixteen were delivered. They have one to three
-- lines and are spread evenly over the last 300 days and over all products.
\set ON_ERROR_STOP on
\timing off
BEGIN;
-- Its foreign keys hold by construction, and looking each of them up would double the time.
SET LOCAL session_replication_role = replica;
SET LOCAL work_mem = '256MB';
SET LOCAL maintenance_work_mem = '256MB';

-- A UUID of version 7 with this time, and a rest that follows from a text.
CREATE FUNCTION pg_temp.id_at(ms bigint, seed text) RETURNS uuid LANGUAGE sql IMMUTABLE AS
$$ SELECT (lpad(to_hex($1), 12, '0') || '7' || substr(md5($2), 1, 3) || '8' || substr(md5($2), 4, 15))::uuid $$;

-- The model of a product: five letters that no other has (and no description, below 1.9 million products).
CREATE FUNCTION pg_temp.model(n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT string_agg(chr((97 + (($1 * 7919077 + 12345) % 11881376) / (26 ^ place)::bigint % 26)::int), '' ORDER BY place DESC)
   FROM generate_series(0, 4) AS place $$;

CREATE TEMP TABLE span ON COMMIT DROP AS
SELECT now_ms, now_ms - 300 * 86400000::bigint AS first_ms
FROM (SELECT floor(extract(epoch FROM now()) * 1000)::bigint AS now_ms) AS clock;

-- ---- products, and what is in the house -------------------------------------------------------------------------------------

CREATE TEMP TABLE goods ON COMMIT DROP AS
SELECT n, 'LOAD-' || lpad(n::text, 7, '0') AS sku,
    'Lamp ' || pg_temp.model(n) || ' S' || lpad((n % 1000)::text, 3, '0') || ' no ' || lpad(n::text, 7, '0') AS name,
    'A lamp of steel and glass for the table or the shelf, with two metres of cable and a warm light. Series '
        || lpad((n % 1000)::text, 3, '0') || '.' AS description,
    'shelf-' || lpad((n % 50)::text, 2, '0') AS category,
    100 + (n * 7919) % 20000 AS price_minor,
    pg_temp.id_at(first_ms + n, 'product' || n) AS id, pg_temp.id_at(first_ms + n, 'stock' || n) AS stock_id,
    first_ms + n AS made_ms
FROM span, generate_series(1, :products::bigint) AS n;
CREATE UNIQUE INDEX ON goods (n);

INSERT INTO catalog.products (id, sku, slug, name, name_key, description, category, price_minor, currency, active,
    attributes, image_url, search_text, version, created_at_ms, updated_at_ms)
SELECT id, sku, replace(lower(name), ' ', '-'), name, convert_to(lower(name), 'UTF8'), description, category, price_minor, 'GBP',
    TRUE, jsonb_build_object('colour', 'amber', 'watts', 5 + n % 40), 'https://shop.example/images/' || lower(sku) || '.webp',
    lower(name || E'\n' || sku || E'\n' || description), 1, made_ms, made_ms
FROM goods;

-- ---- customers ---------------------------------------------------------------------------------------------------------------

CREATE TEMP TABLE people ON COMMIT DROP AS
SELECT n, pg_temp.id_at(first_ms + n, 'user' || n) AS id, first_ms + n AS made_ms
FROM span, generate_series(1, greatest(100, :orders::bigint / 10)) AS n;

INSERT INTO users.users (id, email, name, role, active, preferences, version, created_at_ms, updated_at_ms)
SELECT id, 'past-' || n || '@example.com', 'Customer ' || n, 'customer', TRUE, '{}', 1, made_ms, made_ms FROM people;

-- ---- orders ------------------------------------------------------------------------------------------------------------------

CREATE TEMP TABLE past ON COMMIT DROP AS
SELECT i, at_ms, pg_temp.id_at(at_ms, 'order' || i) AS id, 1 + i % 3 AS lines, people.id AS user_id,
    CASE i % 20 WHEN 0 THEN 'pending' WHEN 1 THEN 'pending' WHEN 2 THEN 'processing' WHEN 3 THEN 'cancelled' ELSE 'delivered' END AS status
FROM (
    SELECT i, first_ms + (i * (now_ms - first_ms)) / (:orders::bigint + 1) AS at_ms
    FROM span, generate_series(1, :orders::bigint) AS i
) AS placed
JOIN people ON people.n = 1 + (i * 7) % greatest(100, :orders::bigint / 10);

CREATE TEMP TABLE bought ON COMMIT DROP AS
SELECT past.i, past.id AS order_id, past.status, past.at_ms, line_no, goods.n, goods.sku, goods.id AS product_id, goods.stock_id, goods.name,
    goods.price_minor, 1 + (i + line_no) % 3 AS quantity
FROM past
CROSS JOIN LATERAL generate_series(1, past.lines) AS line_no
JOIN goods ON goods.n = 1 + (past.i * 7919 + line_no * 104729) % :products::bigint;

INSERT INTO orders.orders (id, number, user_id, status, payment_status, payment_due_at_ms, total_minor, refunded_minor, currency,
    shipping_address, country, reservation_id, imported, version, created_at_ms, updated_at_ms)
-- What is pending stays so: a shop that is measured has no time to cancel the past.
SELECT past.id, 'G' || lpad(past.i::text, 12, '0'), past.user_id, past.status, 'unpaid', now_ms + 3650 * 86400000::bigint, total, 0, 'GBP',
    '{"city": "London", "country": "GB", "line1": "12 St James''s Square", "name": "Ada Lovelace", "postal_code": "SW1Y 4JH"}', 'GB',
    CASE WHEN past.status IN ('pending', 'processing') THEN past.id END, FALSE,
    CASE past.status WHEN 'pending' THEN 1 WHEN 'delivered' THEN 4 ELSE 2 END, past.at_ms, past.at_ms + 1000
FROM span, past JOIN (SELECT order_id, sum(quantity * price_minor) AS total FROM bought GROUP BY order_id) AS sums ON sums.order_id = past.id
ORDER BY past.i;

INSERT INTO orders.order_lines (order_id, line_no, sku, product_id, name, quantity, unit_price_minor, line_total_minor)
SELECT order_id, line_no, sku, product_id, name, quantity, price_minor, quantity * price_minor FROM bought ORDER BY i, line_no;

INSERT INTO orders.order_timeline (order_id, kind, at_ms, actor_id, from_status, to_status, data)
SELECT id, kind, at_ms + step, user_id, from_status, to_status,
    CASE kind WHEN 'created' THEN jsonb_build_object('number', 'G' || lpad(i::text, 12, '0')) END
FROM past JOIN (VALUES
    ('pending', 0, 'created', NULL, NULL),
    ('processing', 0, 'created', NULL, NULL), ('processing', 1, 'status_changed', 'pending', 'processing'),
    ('cancelled', 0, 'created', NULL, NULL), ('cancelled', 1, 'status_changed', 'pending', 'cancelled'),
    ('delivered', 0, 'created', NULL, NULL), ('delivered', 1, 'status_changed', 'pending', 'processing'),
    ('delivered', 2, 'status_changed', 'processing', 'shipped'), ('delivered', 3, 'status_changed', 'shipped', 'delivered')
) AS life (status, step, kind, from_status, to_status) USING (status)
ORDER BY at_ms, step;

-- ---- the stock that they hold or took ------------------------------------------------------------------------------------------

INSERT INTO inventory.stock (id, sku, on_hand, reserved, low_stock_threshold, version, updated_at_ms)
SELECT goods.stock_id, goods.sku, 100000000 - coalesce(left_house, 0), coalesce(held, 0), 5, 1 + coalesce(changes, 0), made_ms
FROM goods LEFT JOIN (
    SELECT n, sum(quantity) FILTER (WHERE status = 'delivered') AS left_house,
        sum(quantity) FILTER (WHERE status IN ('pending', 'processing')) AS held, count(*) AS changes
    FROM bought GROUP BY n
) AS moved USING (n);

INSERT INTO inventory.reservations (id, order_id, state, created_at_ms, ended_at_ms)
SELECT id, id, CASE status WHEN 'delivered' THEN 'shipped' WHEN 'cancelled' THEN 'released' ELSE 'held' END, at_ms,
    CASE WHEN status IN ('delivered', 'cancelled') THEN at_ms + 2 END
FROM past ORDER BY i;

INSERT INTO inventory.reservation_lines (reservation_id, stock_id, quantity)
SELECT order_id, stock_id, quantity FROM bought ORDER BY i;

INSERT INTO inventory.movements (id, stock_id, kind, change, on_hand_after, reason, at_ms)
SELECT pg_temp.id_at(made_ms, 'opening' || n), stock_id, 'opening', 100000000, 100000000, 'opening', made_ms FROM goods;

INSERT INTO inventory.movements (id, stock_id, kind, change, on_hand_after, reason, order_id, at_ms)
SELECT pg_temp.id_at(at_ms + 2, 'shipped' || i || '.' || line_no), stock_id, 'shipped', -quantity,
    100000000 - sum(quantity) OVER (PARTITION BY stock_id ORDER BY i, line_no), 'shipped', order_id, at_ms + 2
FROM bought WHERE status = 'delivered';

COMMIT;
VACUUM (ANALYZE) catalog.products;
VACUUM (ANALYZE) users.users;
VACUUM (ANALYZE) orders.orders;
VACUUM (ANALYZE) orders.order_lines;
VACUUM (ANALYZE) orders.order_timeline;
VACUUM (ANALYZE) inventory.stock;
VACUUM (ANALYZE) inventory.movements;
VACUUM (ANALYZE) inventory.reservations;
VACUUM (ANALYZE) inventory.reservation_lines;
CHECKPOINT;
