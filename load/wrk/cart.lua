-- Each customer in turn says how many pieces of one of 20 SKUs the cart holds; the number changes, so that something is written.
local common = dofile(os.getenv("LOAD_WRK") .. "/common.lua")
local own, at = {}, 0

function init()
  common.start()
  own = common.customers(common.threads())
end

function request()
  at = at % #own + 1
  local body = '{"quantity":' .. math.random(1, 1000) .. "}"
  return wrk.format("PUT", "/cart/items/" .. common.sku(math.random(20)),
    { Authorization = "Bearer " .. own[at].token, ["Content-Type"] = "application/json" }, body)
end
