-- The first page of the orders of each customer in turn. With LOAD_BARE the customer stands in the query, as the bare handlers
-- want it.
local common = dofile(os.getenv("LOAD_WRK") .. "/common.lua")
local requests, at = {}, 0

function init()
  common.start()
  for n, customer in ipairs(common.customers(common.threads())) do
    if os.getenv("LOAD_BARE") then
      requests[n] = wrk.format("GET", "/orders?user_id=" .. customer.id)
    else
      requests[n] = wrk.format("GET", "/orders", { Authorization = "Bearer " .. customer.token })
    end
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end
