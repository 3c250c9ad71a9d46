-- What the pgbench scripts need beside the copies of the shop's tables: ids like the shop's, and texts of the size of what it
-- stores. The shop makes them in its own process; here PostgreSQL does, which costs it a few microseconds an order.
\set ON_ERROR_STOP on
CREATE SCHEMA yardstick;

-- A UUID of version 7: the shop's ids grow with time too, and an index that grows at one end is cheaper than one that grows
-- everywhere.
CREATE FUNCTION yardstick.new_id() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS
$$ SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
    PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid $$;

CREATE FUNCTION yardstick.now_ms() RETURNS bigint LANGUAGE sql VOLATILE PARALLEL SAFE AS
$$ SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint $$;

-- A stored answer with so many lines: as long as the shop's.
CREATE FUNCTION yardstick.answer(lines int) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
$$ SELECT jsonb_build_object('id', '019357a0-7b2c-7c3e-9f00-5d1c2b3a4f5e', 'number', '261121-7K3QF9XM2A',
    'user_id', '019357a0-7b2c-7c3e-9f00-5d1c2b3a4f5e', 'status', 'pending', 'total', '{"amount": 2999, "currency": "GBP"}'::jsonb,
    'shipping_address', NULL, 'payment_status', 'unpaid', 'imported', FALSE, 'created_at', '2026-11-21T23:59:59.999Z',
    'updated_at', '2026-11-21T23:59:59.999Z', 'items', (SELECT jsonb_agg('{"sku": "LOAD-0000001",
    "product_id": "019357a0-7b2c-7c3e-9f00-5d1c2b3a4f5e", "name": "Lamp S001 no 0000001", "quantity": 1,
    "unit_price": {"amount": 2999, "currency": "GBP"}, "line_total": {"amount": 2999, "currency": "GBP"}}'::jsonb) FROM generate_series(1, $1))) $$;

-- One value for each number of lines, so that no statement has to build it.
CREATE TABLE yardstick.answers AS
SELECT lines, yardstick.answer(lines) AS answer, jsonb_build_object('placed', yardstick.answer(lines)) AS outcome,
    jsonb_build_object('order', yardstick.answer(lines), 'cart_id', NULL) AS event
FROM generate_series(1, 10) AS lines;
ALTER TABLE yardstick.answers ADD PRIMARY KEY (lines);
ANALYZE yardstick.answers;

-- A cart for each customer that `cart.sql` changes, with a line.
INSERT INTO cart.carts (id, user_id, state, version, created_at_ms, touched_at_ms)
SELECT md5('cart' || n)::uuid, md5('customer' || n)::uuid, 'open', 1, yardstick.now_ms(), yardstick.now_ms() FROM generate_series(1, 64) AS n;
INSERT INTO cart.cart_lines (cart_id, sku, quantity, added_at_ms)
SELECT md5('cart' || n)::uuid, 'LOAD-' || lpad(line::text, 7, '0'), 1, yardstick.now_ms() FROM generate_series(1, 64) AS n, generate_series(1, 20) AS line;
VACUUM (ANALYZE) cart.carts;
VACUUM (ANALYZE) cart.cart_lines;
