-- What a change of a cart writes, in one transaction of one statement: the cart's next version and the line. Beside it, what the answer
-- shows: name, price and stock of the line's product, in two statements that write nothing (the shop reads those of all lines).
\set customer random(1, 64)
\set sku random(:first, :first + :width - 1)
\set quantity random(1, 1000)
SELECT name, price_minor FROM catalog.products WHERE active AND sku = 'LOAD-' || lpad((:sku)::text, 7, '0');
SELECT on_hand - reserved FROM inventory.stock WHERE sku = 'LOAD-' || lpad((:sku)::text, 7, '0');
WITH bumped AS (
    UPDATE cart.carts SET version = version + 1, touched_at_ms = yardstick.now_ms() WHERE id = md5('cart' || :customer)::uuid AND state = 'open' RETURNING id
)
INSERT INTO cart.cart_lines (cart_id, sku, quantity, added_at_ms)
SELECT id, 'LOAD-' || lpad((:sku)::text, 7, '0'), :quantity, yardstick.now_ms() FROM bumped
ON CONFLICT (cart_id, sku) DO UPDATE SET quantity = EXCLUDED.quantity;
