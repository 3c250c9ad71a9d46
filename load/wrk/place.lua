-- Orders of LOAD_LINES lines of one piece, by all customers in turn, each with a fresh key. Line n takes a SKU from
-- [LOAD_FIRST + n * LOAD_WIDTH, LOAD_FIRST + (n + 1) * LOAD_WIDTH), as the pgbench scripts do.
local common = dofile(os.getenv("LOAD_WRK") .. "/common.lua")
local heads, at = {}, 0
local lines, first, width

function init()
  common.start()
  lines, first, width = tonumber(os.getenv("LOAD_LINES")), tonumber(os.getenv("LOAD_FIRST")), tonumber(os.getenv("LOAD_WIDTH"))
  for n, customer in ipairs(common.customers(common.threads())) do
    heads[n] = "POST /orders HTTP/1.1\r\nHost: " .. wrk.host .. ":" .. wrk.port .. "\r\nContent-Type: application/json\r\nAuthorization: Bearer "
      .. customer.token .. "\r\nIdempotency-Key: "
  end
end

function request()
  at = at % #heads + 1
  local items = {}
  for line = 1, lines do
    items[line] = '{"sku":"' .. common.sku(first + (line - 1) * width + math.random(0, width - 1)) .. '","quantity":1}'
  end
  local body = '{"items":[' .. table.concat(items, ",") .. "]}"
  return heads[at] .. common.key() .. "\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body
end
